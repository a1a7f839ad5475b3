//! A file for each group of verbs.

mod keys;
mod reading;
mod signing;
