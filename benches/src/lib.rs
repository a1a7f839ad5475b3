//! Nothing here: the tests are in `main.rs` and its modules.
#![forbid(unsafe_code)]
