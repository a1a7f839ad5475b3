//! That nobody takes what is everybody's: how fast one may ask, how much a tenant may have, and how long whoever brings
//! wrong credentials has to wait.

mod failures;
mod quota;
mod rate;

pub use failures::Failures;
pub use lockgate_server::Source;
pub use quota::{Kind, MAX_WEIGHT, Quota, Usage, check};
pub use rate::Rates;
