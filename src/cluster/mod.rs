//! The other servers of a cluster, behind the seam of `server::adapter`.
//!
//! Between two seams is the protocol. `node` turns what the host does into drafts and `receive` carries out what others say; `draft` and
//! `message` are what there is to say and to hear; `requests` holds what is asked, `peers` who is there. `format` is the one seam: how it is
//! written, `classic`, `sharded` or `streams`, the latter two on `cluster_adapter`, and all on `msgpack`. `broker` is the other: what carries
//! it, `redis` at the `place` where it is, or at the `nodes` of a cluster, kept by `link` for a `member`, with `outgoing` and `subscriptions` for what waits to be told.

#[cfg(feature = "redis")]
mod broker;
#[cfg(feature = "redis")]
mod classic;
#[cfg(feature = "redis")]
mod cluster_adapter;
#[cfg(feature = "redis")]
mod cluster_adapter_vectors;
#[cfg(feature = "redis")]
mod connect;
#[cfg(feature = "redis")]
mod draft;
#[cfg(feature = "redis")]
mod entries;
#[cfg(feature = "redis")]
mod format;
#[cfg(feature = "redis")]
mod link;
#[cfg(feature = "redis")]
mod member;
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
mod peers;
#[cfg(feature = "redis")]
mod place;
#[cfg(feature = "redis")]
mod receive;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_kinds;
#[cfg(feature = "redis")]
mod redis_streams;
#[cfg(feature = "redis")]
mod requests;
#[cfg(feature = "redis")]
mod sharded;
#[cfg(feature = "redis")]
mod streams;
#[cfg(feature = "redis")]
mod subscriptions;
#[cfg(feature = "redis")]
mod vectors;

use std::sync::Arc;

use crate::server::{Code, Error, Server};

/// Kinds of adapters, of which a build may leave some out.
const KINDS: [&str; 4] = ["redis", "sharded-redis", "redis-streams", "postgres"];

/// Gives a server the adapter of a kind, with its options as a JSON object, and starts to reach the others.
#[cfg_attr(not(feature = "redis"), allow(unused_variables))]
pub fn set_adapter(server: &Arc<Server>, kind: &str, json: &str) -> Result<(), Error> {
    match kind {
        #[cfg(feature = "redis")]
        "redis" => redis_kinds::classic(server, json),
        #[cfg(feature = "redis")]
        "sharded-redis" => redis_kinds::sharded(server, json),
        #[cfg(feature = "redis")]
        "redis-streams" => redis_kinds::streams(server, json),
        _ if KINDS.contains(&kind) => {
            Err(Error::new(Code::Unsupported, format!("this build does not have the adapter {kind}")))
        }
        _ => Err(Error::new(Code::Invalid, format!("there is no adapter {kind:?}"))),
    }
}
