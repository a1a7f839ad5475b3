//! Who asks on the plane.

use lockgate_core::Name;

/// The TaskManager that a request is from. An extension of every request that reaches a route of the plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// What it is called.
    pub name: Name,
}
