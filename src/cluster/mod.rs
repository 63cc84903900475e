//! The other servers of a cluster, behind the seam of `server::adapter`.
//!
//! `node` turns what the host does into messages and `receive` carries out what others say; `message` is what there is to say, `classic` how
//! it is written, with `msgpack` below it; `outgoing` and `requests` hold what waits; `link` keeps the connection that `redis` makes to the
//! `place` where it is, or to one of the `nodes` of a cluster.

#[cfg(feature = "redis")]
mod classic;
#[cfg(feature = "redis")]
mod connect;
#[cfg(feature = "redis")]
mod link;
#[cfg(feature = "redis")]
mod message;
#[cfg(feature = "redis")]
mod msgpack;
#[cfg(feature = "redis")]
mod node;
#[cfg(feature = "redis")]
mod nodes;
#[cfg(feature = "redis")]
mod options;
#[cfg(feature = "redis")]
mod outgoing;
#[cfg(feature = "redis")]
mod place;
#[cfg(feature = "redis")]
mod receive;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod requests;
#[cfg(feature = "redis")]
mod vectors;

use std::sync::Arc;

use crate::server::{Code, Error, Server};

/// Gives a server the adapter of a kind, with its options as a JSON object, and starts to reach the others.
#[cfg_attr(not(feature = "redis"), allow(unused_variables))]
pub fn set_adapter(server: &Arc<Server>, kind: &str, json: &str) -> Result<(), Error> {
    match kind {
        #[cfg(feature = "redis")]
        "redis" => connect::start(server, json),
        #[cfg(not(feature = "redis"))]
        "redis" => Err(Error::new(Code::Unsupported, "this build does not have the adapter redis")),
        "sharded-redis" | "redis-streams" | "postgres" => {
            Err(Error::new(Code::Unsupported, format!("this build does not have the adapter {kind}")))
        }
        _ => Err(Error::new(Code::Invalid, format!("there is no adapter {kind:?}"))),
    }
}
