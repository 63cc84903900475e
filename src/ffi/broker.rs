//! Clusters over a broker of the host's own.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::boundary::*;
use super::constants::*;
use super::engine::sockeye_engine;
use super::types::*;
use crate::cluster::{self, HostBroker};
use crate::server::{Code, Error};

/// Publishes `len` bytes on a channel: whoever subscribes to it gets them, in any process, whole and in the order of these calls. Both are valid
/// until it returns.
pub type sockeye_publish_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        channel: *const c_char,
        channel_len: usize,
        bytes: *const c_void,
        len: usize,
    ) -> sockeye_result,
>;
/// Subscribes to a channel, or ends that; the name is valid until it returns.
pub type sockeye_channel_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, channel: *const c_char, channel_len: usize) -> sockeye_result>;
/// How many engines subscribe to a channel, this one included; negative if that cannot be told.
pub type sockeye_count_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, channel: *const c_char, channel_len: usize) -> i64>;

/// A broker of the host's own: what carries the messages of servers that act as one. See `sockeye_engine_set_broker`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_broker {
    pub size: u32,
    /// 0
    pub flags: u32,
    /// Needed.
    pub publish: sockeye_publish_fn,
    /// Both NULL: everything comes anyway.
    pub subscribe: sockeye_channel_fn,
    pub unsubscribe: sockeye_channel_fn,
    /// NULL: servers know each other by heartbeats.
    pub count: sockeye_count_fn,
    /// For all functions, and freed by `drop`.
    pub user: *mut c_void,
    pub drop: sockeye_drop_fn,
}

/// The functions, as the cluster's task calls them.
struct Functions {
    publish: unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_void, usize) -> sockeye_result,
    subscribe: sockeye_channel_fn,
    unsubscribe: sockeye_channel_fn,
    count: sockeye_count_fn,
    user: User,
}

impl HostBroker for Functions {
    fn publish(&self, channel: &str, bytes: &[u8]) -> Result<(), String> {
        let (name, data) = (channel.as_ptr().cast(), bytes.as_ptr().cast());
        // SAFETY: the host gave the function for this; the bytes are valid until it returns.
        let run = || unsafe { (self.publish)(self.user.value, name, channel.len(), data, bytes.len()) };
        called("publish", || i64::from(run())).map(drop)
    }

    fn change(&self, channel: &str, is_wanted: bool) -> Result<(), String> {
        let (what, function) = match is_wanted {
            true => ("subscribe", self.subscribe),
            false => ("unsubscribe", self.unsubscribe),
        };
        let Some(function) = function else { return Ok(()) };
        // SAFETY: as above.
        let run = || unsafe { function(self.user.value, channel.as_ptr().cast(), channel.len()) };
        called(what, || i64::from(run())).map(drop)
    }

    fn count(&self, channel: &str) -> Result<usize, String> {
        let Some(function) = self.count else { return Ok(0) };
        // SAFETY: as above.
        let run = || unsafe { function(self.user.value, channel.as_ptr().cast(), channel.len()) };
        called("count", run).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// What a function of the host's gave, if that is no failure.
fn called(what: &str, run: impl FnOnce() -> i64) -> Result<i64, String> {
    let mut given = 0;
    within_host(|| given = run());
    if given < 0 { Err(format!("{what} gave {given}")) } else { Ok(given) }
}

/// Joins the engine to a cluster over a broker of the host's own, once, and before it listens, or is given a connection or a request: in place of
/// `sockeye_engine_set_adapter`. The broker carries messages on channels between engines, in one process or in several; what they are is the
/// engine's matter (JSON, or MessagePack where there are attachments, of the protocol that the official adapters share).
///
/// The functions of `broker` are called on a thread of the engine's, never two at once, and with no lock held; `sockeye_broker_deliver` and most
/// others may be called in them, `sockeye_engine_free` is DEADLOCK there. They may block: what is published meanwhile waits, up to
/// `publishQueueBytes`, while local delivery goes on; but timeouts of requests to other servers, and the end of the engine, wait for them too. One
/// that gives a negative number has lost the broker: ADAPTER_DOWN tells so (`name` is `broker`), what was being published and up to 511 messages behind
/// it are lost and counted (`unconfirmed`), and after 0.1 to 5 seconds all channels are subscribed to anew, what waits is published, and ADAPTER_UP tells
/// that. Messages may come before they are subscribed to, or to the server that published them: both are ignored.
///
/// `json` is an object with options: `channelPrefix` (`socket.io`), which the names of all channels begin with; `requestsTimeout` (5000) and
/// `publishQueueBytes` (16 MiB) as of other adapters; `heartbeatInterval` (5000) and `heartbeatTimeout` (10000), milliseconds, without `count`. With `count`,
/// whoever subscribes to the channel `<prefix>#<namespace>#` is a server, and has to answer: it must tell neither too many nor too few.
///
/// `drop` is called once, after the last of the functions, before CLOSED comes; never if this fails. INVALID: no `publish`, one of `subscribe`
/// and `unsubscribe` without the other, a wrong option, an engine that listens already, or has an adapter.
///
/// # Safety
/// `engine` is NULL or an engine; `broker` is NULL or valid; `json` is NULL or valid for its length. The functions may be called from any
/// thread until `drop` is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_set_broker(
    engine: *mut sockeye_engine,
    broker: *const sockeye_broker,
    json: *const c_char,
    json_len: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let given = *sized(broker, "broker")?;
            let json = text(json, json_len, "json")?;
            let publish = given.publish.ok_or_else(|| null("broker.publish"))?;
            if given.flags != 0 {
                return Err(Error::new(Code::Invalid, format!("broker.flags has unknown bits: {:#x}", given.flags)));
            }
            if given.subscribe.is_some() != given.unsubscribe.is_some() {
                return Err(Error::new(Code::Invalid, "broker.subscribe and broker.unsubscribe belong together"));
            }
            let sockeye_broker { subscribe, unsubscribe, count, drop, .. } = given;
            let carried = User { value: given.user, drop: None };
            // Made last: whoever has it calls `drop`.
            let make = move || {
                let mut user = carried;
                user.drop = drop;
                Arc::new(Functions { publish, subscribe, unsubscribe, count, user }) as Arc<dyn HostBroker>
            };
            cluster::set_broker(engine.server(), json, count.is_some(), make)?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Hands a message in that the broker has for this engine: on a channel that `subscribe` was called with, from any thread, also in a function of the
/// broker's, and in the order in which it was published. It is carried out before this returns, and copied as far as needed: nothing waits,
/// and no host code runs but that of INLINE queues. What is no message is counted (`malformed`) and ignored, as is one on another channel: no error.
///
/// INVALID: the engine has no broker of the host's. CLOSED: it is closing.
///
/// # Safety
/// `engine` is NULL or an engine; `channel` and `bytes` are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_broker_deliver(
    engine: *mut sockeye_engine,
    channel: *const c_char,
    channel_len: usize,
    data: *const c_void,
    len: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let (channel, data) = (text(channel, channel_len, "channel")?, bytes(data.cast(), len, "bytes")?);
            cluster::deliver(engine.server(), channel, data)?;
            Ok(SOCKEYE_OK)
        })
    }
}
