//! A file for each group of verbs.

mod health;
mod keeping;
mod keys;
mod new;
mod reading;
mod remote;
mod signing;
