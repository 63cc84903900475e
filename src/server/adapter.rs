//! The seam behind which clusters are: every operation on a target passes through `operations`, which does its local part and hands
//! the rest to the engine's adapter.

use super::emission::Emission;
use super::namespace::{Namespace, Target};

#[expect(dead_code, reason = "read by the adapters of a cluster; a server alone has nobody to tell")]
/// An operation that the other servers of a cluster have to carry out too.
pub enum Operation<'a> {
    Broadcast(&'a Emission<'a>),
    Join(&'a [&'a str]),
    Leave(&'a [&'a str]),
    Disconnect { close: bool },
}

/// Reaches the other servers.
pub trait Adapter: Send + Sync {
    /// Tells them; nobody waits for it.
    fn publish(&self, nsp: &Namespace, target: &Target<'_>, operation: &Operation<'_>);

    /// How many servers serve a namespace, this one included.
    fn server_count(&self, nsp: &Namespace) -> u32;
}
