//! That nobody takes what is everybody's: how much a tenant may have.

mod quota;

pub use quota::{Kind, Quota, Usage, check};
