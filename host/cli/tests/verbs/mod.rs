//! A file for each group of verbs.

mod keys;
mod new;
mod reading;
mod signing;
