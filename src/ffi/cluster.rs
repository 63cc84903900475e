//! Clusters: servers that act as one.

use std::ffi::c_char;

use super::boundary::*;
use super::constants::*;
use super::engine::sockeye_engine;
use super::types::*;
use crate::cluster;

/// Joins the engine to a cluster, once, and before it listens, or is given a connection or a request. `kind` is `redis`, `sharded-redis`
/// (Redis 7), `redis-streams` or `postgres`, `json` an object with its options, of which all kinds over Redis have:
///
/// `url`: `redis://[user:password@]host:port[/database]` or `redis+unix:///path`, of Redis 6 or newer, or Valkey; over TLS `rediss://`;
/// `sentinels`: URLs of sentinels; `url` then has the master's name in place of a host: `redis://user:password@mymaster`;
/// `nodes`: URLs of some nodes of a Redis Cluster, in place of `url`;
/// `tls`: an object with `caFile` (the authorities that are trusted; by default those of the system), `certFile` and `keyFile` (what is shown
/// to the broker), paths of files in PEM, which are read now;
/// `requestsTimeout` (5000): patience for the answers of other servers, milliseconds;
/// `publishQueueBytes` (16 MiB): what may wait while the broker is not reached; what is published beyond that is dropped and counted.
///
/// Others are those of the official adapter of the kind: `key`, `publishOnSpecificResponseChannel`; `channelPrefix`, `subscriptionMode`;
/// `streamName`, `streamCount`, `channelPrefix`, `useShardedPubSub`, `maxLen`, `readCount`, `blockTimeInMs`, `onlyPlaintext`, and some without
/// effect (docs/clusters.md).
///
/// The kind `postgres` has `url` (`postgres://[user[:password]@]host[:port]/database[?sslmode=…]`), `tls`, `requestsTimeout` and `publishQueueBytes`
/// too, and `channelPrefix`, `tableName`, `payloadThreshold`, `cleanupInterval`, `heartbeatInterval` and `heartbeatTimeout` as in the official adapter
/// (docs/clusters-postgres.md).
///
/// Official Node servers with `@socket.io/redis-adapter` 8, `@socket.io/redis-streams-adapter` 0.3 or `@socket.io/postgres-adapter` 0.5, and emitters,
/// can be in the same cluster. Returns at once; ADAPTER_UP tells that the broker is reached. INVALID names the option that is wrong, and never shows the URL, or says
/// that the engine listens already, or has an adapter; UNSUPPORTED: a kind that this build does not have, or a bare engine.
///
/// # Safety
/// `engine` is NULL or an engine; the texts are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_set_adapter(
    engine: *mut sockeye_engine,
    kind: *const c_char,
    len: usize,
    json: *const c_char,
    json_len: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            cluster::set_adapter(engine.server(), text(kind, len, "kind")?, text(json, json_len, "json")?)?;
            Ok(SOCKEYE_OK)
        })
    }
}
