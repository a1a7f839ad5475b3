//! The compiler through its process.
