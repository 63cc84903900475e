//! The other servers: adapters behind the seam of `server::adapter`.

use crate::server::adapter::{Adapter, Operation};
use crate::server::{Namespace, Target};

/// One server alone.
pub struct Memory;

impl Adapter for Memory {
    fn publish(&self, _nsp: &Namespace, _target: &Target<'_>, _operation: &Operation<'_>) {}

    fn server_count(&self, _nsp: &Namespace) -> u32 {
        1
    }
}
