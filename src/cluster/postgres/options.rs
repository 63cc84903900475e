//! Options of the kind `postgres`, by the names of `@socket.io/postgres-adapter`.

use serde::Deserialize;

use super::table::IDENTIFIER_MAX;
use crate::cluster::options::{self, Tls, check_range};
use crate::server::{Code, Error};

/// The least that a notification cannot hold any more.
const PAYLOAD_THRESHOLD: u32 = 8000;
/// A day: longer intervals are a mistake.
const INTERVAL_MAX_MS: u32 = 86_400_000;
/// Whoever fetches an attachment has to have so long for it.
const CLEANUP_MIN_MS: u32 = 1000;
/// Heartbeats that come faster than they travel say nothing.
const HEARTBEAT_MIN_MS: u32 = 50;
/// A channel has a `#` and the `/` of a namespace behind its prefix at least.
const PREFIX_MAX: usize = IDENTIFIER_MAX - 2;

/// The options.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Options {
    /// Where the server is; may hold credentials, so that nobody prints it.
    pub url: String,
    pub tls: Tls,
    /// Prefix of the channels.
    pub channel_prefix: String,
    /// The table of messages that no notification can hold.
    pub table_name: String,
    /// Bytes of the first message that goes there.
    pub payload_threshold: u32,
    /// Milliseconds between two times that old messages are removed from there.
    pub cleanup_interval: u32,
    /// Milliseconds after which this server says that it is there.
    pub heartbeat_interval: u32,
    /// Milliseconds after which a server that says nothing is gone.
    pub heartbeat_timeout: u32,
    /// Patience for the answers of other servers, milliseconds.
    pub requests_timeout: u32,
    /// Bytes that may wait for the server.
    pub publish_queue_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            url: String::new(),
            tls: Tls::default(),
            channel_prefix: "socket.io".to_owned(),
            table_name: "socket_io_attachments".to_owned(),
            payload_threshold: PAYLOAD_THRESHOLD,
            cleanup_interval: 30_000,
            heartbeat_interval: 5000,
            heartbeat_timeout: 10_000,
            requests_timeout: 5000,
            publish_queue_bytes: options::PUBLISH_QUEUE_BYTES,
        }
    }
}

impl Options {
    /// Reads and checks a JSON object. Errors name the option and, but for the URL, its value.
    pub fn from_json(json: &str) -> Result<Options, Error> {
        let own: Options = options::parse(&options::members(json)?)?;
        if own.url.is_empty() {
            return Err(Error::new(Code::Invalid, "adapter.url is missing"));
        }
        if !(1..=PREFIX_MAX).contains(&own.channel_prefix.len()) || own.channel_prefix.contains('\0') {
            let text = format!("adapter.channelPrefix: 1 to {PREFIX_MAX} bytes are allowed, and no NUL");
            return Err(Error::new(Code::Invalid, text));
        }
        let max = u64::from(INTERVAL_MAX_MS);
        check_range("payloadThreshold", own.payload_threshold.into(), 1, PAYLOAD_THRESHOLD.into())?;
        check_range("cleanupInterval", own.cleanup_interval.into(), CLEANUP_MIN_MS.into(), max)?;
        check_range("heartbeatInterval", own.heartbeat_interval.into(), HEARTBEAT_MIN_MS.into(), max)?;
        // A server that is believed in for less than its interval comes and goes.
        check_range("heartbeatTimeout", own.heartbeat_timeout.into(), u64::from(own.heartbeat_interval) + 1, max)?;
        options::check_bounds(own.requests_timeout, own.publish_queue_bytes)?;
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Options::from_json(json).err().unwrap().text.into_owned()
    }

    #[test]
    fn defaults_are_the_official_ones() {
        let own = Options::from_json(r#"{"url":"postgres://localhost"}"#).unwrap();
        assert_eq!((own.channel_prefix.as_str(), own.table_name.as_str()), ("socket.io", "socket_io_attachments"));
        assert_eq!((own.payload_threshold, own.cleanup_interval), (8000, 30_000));
        assert_eq!((own.heartbeat_interval, own.heartbeat_timeout, own.requests_timeout), (5000, 10_000, 5000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused("{}"), "adapter.url is missing");
        for (option, value) in [
            ("channelPrefix", "\"\"".to_owned()),
            ("channelPrefix", format!("\"{}\"", "x".repeat(62))),
            ("payloadThreshold", "8001".to_owned()),
            ("payloadThreshold", "0".to_owned()),
            ("cleanupInterval", "999".to_owned()),
            ("heartbeatInterval", "49".to_owned()),
            ("heartbeatTimeout", "5000".to_owned()),
            ("requestsTimeout", "0".to_owned()),
            ("publishQueueBytes", "1".to_owned()),
            ("key", "\"x\"".to_owned()),
            ("url", "7".to_owned()),
        ] {
            let text = refused(&format!("{{\"url\":\"postgres://h\",\"{option}\":{value}}}"));
            assert!(text.contains(option), "{text}");
        }
    }
}
