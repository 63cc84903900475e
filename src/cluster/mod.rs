//! The other servers of a cluster, behind the seam of `server::adapter`.
//!
//! Between two seams is the protocol. `node` turns what the host does into drafts and `receive` carries out what others say; `draft` and
//! `message` are what there is to say and to hear; `requests` holds what is asked, `peers` who is there. `format` is the one seam, with those
//! that there are: how it is written. `broker` is the other: what carries it, `redis`, `postgres`, or functions of the host's
//! (`hosted`); kept by `link` for a `member`, with `outgoing` and `subscriptions` for what waits to be told. An `emitter` is a member that
//! only speaks; `no_emitter` is in its place where there is no broker.

#[cfg(feature = "cluster")]
mod broker;
#[cfg(feature = "cluster")]
mod connect;
#[cfg(feature = "cluster")]
mod draft;
#[cfg(feature = "cluster")]
mod emitter;
#[cfg(feature = "cluster")]
mod format;
#[cfg(feature = "cluster")]
mod hosted;
#[cfg(feature = "cluster")]
mod link;
#[cfg(feature = "cluster")]
mod member;
#[cfg(feature = "cluster")]
mod message;
#[cfg(not(feature = "cluster"))]
mod no_emitter;
#[cfg(feature = "cluster")]
mod node;
#[cfg(feature = "cluster")]
mod options;
#[cfg(feature = "cluster")]
mod outgoing;
#[cfg(feature = "cluster")]
mod peers;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "cluster")]
mod receive;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "cluster")]
mod requests;
#[cfg(feature = "cluster")]
mod subscriptions;

use std::sync::Arc;

#[cfg(feature = "cluster")]
pub use emitter::{Address, Emitter};
#[cfg(not(feature = "cluster"))]
pub use no_emitter::{Address, Emitter};

use crate::server::{Code, Error, Server};

/// Kinds of adapters, of which a build may leave some out.
const KINDS: [&str; 4] = ["redis", "sharded-redis", "redis-streams", "postgres"];

/// Gives a server the adapter of a kind, with its options as a JSON object, and starts to reach the others.
#[cfg_attr(not(feature = "cluster"), allow(unused_variables))]
pub fn set_adapter(server: &Arc<Server>, kind: &str, json: &str) -> Result<(), Error> {
    match kind {
        #[cfg(feature = "redis")]
        "redis" => redis::kinds::classic(server, json),
        #[cfg(feature = "redis")]
        "sharded-redis" => redis::kinds::sharded(server, json),
        #[cfg(feature = "redis")]
        "redis-streams" => redis::kinds::streams(server, json),
        #[cfg(feature = "postgres")]
        "postgres" => postgres::start(server, json),
        _ => Err(no_kind(kind, "adapter")),
    }
}

/// Makes an emitter to the servers that have the adapter of a kind, with its options as a JSON object, and starts to reach the broker.
#[cfg_attr(not(feature = "cluster"), allow(unused_variables))]
pub fn open_emitter(kind: &str, json: &str) -> Result<Emitter, Error> {
    match kind {
        #[cfg(feature = "redis")]
        "redis" => redis::kinds::classic_emitter(json),
        #[cfg(feature = "redis")]
        "sharded-redis" => redis::kinds::sharded_emitter(json),
        #[cfg(feature = "redis")]
        "redis-streams" => redis::kinds::streams_emitter(json),
        #[cfg(feature = "postgres")]
        "postgres" => postgres::emitter(json),
        _ => Err(no_kind(kind, "emitter")),
    }
}

fn no_kind(kind: &str, what: &str) -> Error {
    match KINDS.contains(&kind) {
        true => Error::new(Code::Unsupported, format!("this build does not have the {what} {kind}")),
        false => Error::new(Code::Invalid, format!("there is no {what} {kind:?}")),
    }
}

/// The host's functions. An error is a text that says which one failed, and how.
pub trait HostBroker: Send + Sync {
    /// Publishes a message on a channel.
    fn publish(&self, channel: &str, bytes: &[u8]) -> Result<(), String>;

    /// Wants what is published on a channel, or does not want it any more.
    fn change(&self, channel: &str, is_wanted: bool) -> Result<(), String>;

    /// How many servers subscribe to a channel, this one included; asked only if it was said that it can tell.
    fn count(&self, channel: &str) -> Result<usize, String>;
}

/// Gives a server the broker that `make` makes once nothing can fail any more, with options as a JSON object. `counts`: it can tell how many subscribe.
#[cfg_attr(not(feature = "cluster"), allow(unused_variables))]
pub fn set_broker(
    server: &Arc<Server>,
    json: &str,
    counts: bool,
    make: impl FnOnce() -> Arc<dyn HostBroker> + Send + 'static,
) -> Result<(), Error> {
    #[cfg(feature = "cluster")]
    return hosted::start(server, json, counts, make);
    #[cfg(not(feature = "cluster"))]
    Err(Error::new(Code::Unsupported, "this build has no clusters"))
}

/// Takes a message that the host's own broker gives; it is carried out before this returns.
pub fn deliver(server: &Arc<Server>, channel: &str, bytes: &[u8]) -> Result<(), Error> {
    if !server.is_open() {
        return Err(Error::new(Code::Closed, "the engine is closing"));
    }
    match server.adapter() {
        Some(adapter) if adapter.hand_in(server, channel, bytes) => Ok(()),
        _ => {
            Err(Error::new(Code::Invalid, "the engine has no broker of the host's: sockeye_engine_set_broker sets one"))
        }
    }
}
