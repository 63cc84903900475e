//! Options of the kinds over Redis, by their official names: what all have, and what each has besides.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cluster::format::sharded::Mode;
use crate::cluster::options::{
    Members, PUBLISH_QUEUE_BYTES, TIMEOUT_MAX_MS, Tls, check_bounds, check_name, check_range, members, parse,
};
use crate::server::{Code, Error};

/// Streams of a cluster: each is a connection.
const STREAM_COUNT_MAX: u32 = 64;
/// Entries that are read at once.
const READ_COUNT_MAX: u32 = 10_000;
/// A reader looks after itself at least so often, milliseconds.
const BLOCK_TIME_MAX_MS: u32 = 60_000;

/// Options of every kind over Redis.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Options {
    /// Where the broker is; may hold credentials, so that nobody prints it.
    pub url: String,
    /// URLs of sentinels; the broker is then the master whose name stands where `url` has a host.
    pub sentinels: Vec<String>,
    /// URLs of nodes of a Redis Cluster, in place of `url`; one that answers is enough.
    pub nodes: Vec<String>,
    pub tls: Tls,
    /// Patience for the answers of other servers, milliseconds.
    pub requests_timeout: u32,
    /// Bytes that may wait for the broker.
    pub publish_queue_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            url: String::new(),
            sentinels: Vec::new(),
            nodes: Vec::new(),
            tls: Tls::default(),
            requests_timeout: 5000,
            publish_queue_bytes: PUBLISH_QUEUE_BYTES,
        }
    }
}

/// What a kind has besides.
pub trait OwnOptions: DeserializeOwned {
    /// The names of all of them.
    const NAMES: &[&str];

    /// Checks their ranges.
    fn check(&self) -> Result<(), Error>;
}

/// Those of the kind `redis`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClassicOptions {
    /// Prefix of the channels.
    pub key: String,
    /// Answer on the channel of the server that asked. Requests of other servers are heard by all either way.
    pub publish_on_specific_response_channel: bool,
}

impl Default for ClassicOptions {
    fn default() -> ClassicOptions {
        ClassicOptions { key: "socket.io".to_owned(), publish_on_specific_response_channel: false }
    }
}

impl OwnOptions for ClassicOptions {
    const NAMES: &[&str] = &["key", "publishOnSpecificResponseChannel"];

    fn check(&self) -> Result<(), Error> {
        check_name("key", &self.key)
    }
}

/// Those of the kind `sharded-redis`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ShardedOptions {
    /// Prefix of the channels.
    pub channel_prefix: String,
    /// Which rooms have channels.
    pub subscription_mode: Mode,
}

impl Default for ShardedOptions {
    fn default() -> ShardedOptions {
        ShardedOptions { channel_prefix: "socket.io".to_owned(), subscription_mode: Mode::default() }
    }
}

impl OwnOptions for ShardedOptions {
    const NAMES: &[&str] = &["channelPrefix", "subscriptionMode"];

    fn check(&self) -> Result<(), Error> {
        check_name("channelPrefix", &self.channel_prefix)
    }
}

/// Those of the kind `redis-streams`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StreamsOptions {
    /// Name of the stream, or what the names of several begin with.
    pub stream_name: String,
    pub stream_count: u32,
    /// Prefix of the channels of requests and answers.
    pub channel_prefix: String,
    /// These are of shards.
    pub use_sharded_pub_sub: bool,
    /// Entries that are kept, roughly.
    pub max_len: u64,
    /// Entries that are read at once.
    pub read_count: u32,
    /// How long a reader waits before it asks again, milliseconds.
    #[serde(rename = "blockTimeInMs")]
    pub block_time_ms: u32,
    /// Attachments are written as JSON's objects of them, and never as MessagePack.
    pub only_plaintext: bool,
    /// Prefix of the keys of sessions that can be recovered, of which this server keeps none: checked, for programs that are moved.
    session_key_prefix: String,
    /// Without effect since the official version 0.3, and checked for the same reason.
    heartbeat_interval: u32,
    heartbeat_timeout: u32,
}

impl Default for StreamsOptions {
    fn default() -> StreamsOptions {
        StreamsOptions {
            stream_name: "socket.io".to_owned(),
            stream_count: 1,
            channel_prefix: "socket.io".to_owned(),
            use_sharded_pub_sub: false,
            max_len: 10_000,
            read_count: 100,
            block_time_ms: 5000,
            only_plaintext: false,
            session_key_prefix: "sio:session:".to_owned(),
            heartbeat_interval: 5000,
            heartbeat_timeout: 10_000,
        }
    }
}

impl OwnOptions for StreamsOptions {
    const NAMES: &[&str] = &[
        "streamName",
        "streamCount",
        "channelPrefix",
        "useShardedPubSub",
        "maxLen",
        "readCount",
        "blockTimeInMs",
        "onlyPlaintext",
        "sessionKeyPrefix",
        "heartbeatInterval",
        "heartbeatTimeout",
    ];

    fn check(&self) -> Result<(), Error> {
        check_name("streamName", &self.stream_name)?;
        check_name("channelPrefix", &self.channel_prefix)?;
        check_name("sessionKeyPrefix", &self.session_key_prefix)?;
        check_range("heartbeatInterval", self.heartbeat_interval.into(), 1, TIMEOUT_MAX_MS.into())?;
        check_range("heartbeatTimeout", self.heartbeat_timeout.into(), 1, TIMEOUT_MAX_MS.into())?;
        check_range("streamCount", self.stream_count.into(), 1, STREAM_COUNT_MAX.into())?;
        check_range("maxLen", self.max_len, 1, u32::MAX.into())?;
        check_range("readCount", self.read_count.into(), 1, READ_COUNT_MAX.into())?;
        check_range("blockTimeInMs", self.block_time_ms.into(), 1, BLOCK_TIME_MAX_MS.into())
    }
}

/// Reads and checks a JSON object. Errors name the option and, but for the URL, its value.
pub fn read<T: OwnOptions>(json: &str) -> Result<(Options, T), Error> {
    let (own, common): (Members<'_>, Members<'_>) =
        members(json)?.into_iter().partition(|(name, _)| T::NAMES.contains(&name.as_str()));
    let (options, own): (Options, T) = (parse(&common)?, parse(&own)?);
    options.check()?;
    own.check()?;
    Ok((options, own))
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        if self.url.is_empty() && self.nodes.is_empty() {
            return Err(Error::new(Code::Invalid, "adapter.url is missing"));
        }
        let is_elsewhere = !self.url.is_empty() || !self.sentinels.is_empty();
        if is_elsewhere && !self.nodes.is_empty() {
            return Err(Error::new(Code::Invalid, "adapter.nodes stands in place of url and sentinels"));
        }
        check_bounds(self.requests_timeout, self.publish_queue_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: OwnOptions>(json: &str) -> String {
        read::<T>(json).err().unwrap().text.into_owned()
    }

    #[test]
    fn defaults_are_the_official_ones() {
        let json = r#"{"url":"redis://localhost"}"#;
        let (options, own) = read::<ClassicOptions>(json).unwrap();
        assert_eq!((own.key.as_str(), options.requests_timeout), ("socket.io", 5000));
        assert!(!own.publish_on_specific_response_channel);
        let (_, own) = read::<ShardedOptions>(json).unwrap();
        assert_eq!((own.channel_prefix.as_str(), own.subscription_mode), ("socket.io", Mode::Dynamic));
        let (_, own) = read::<StreamsOptions>(json).unwrap();
        assert_eq!((own.max_len, own.read_count, own.block_time_ms, own.stream_count), (10_000, 100, 5000, 1));
    }

    #[test]
    fn what_is_wrong_is_named_but_no_secret_is() {
        let classic = refused::<ClassicOptions>;
        assert!(classic(r#"{"url":"redis://x","keyy":"a"}"#).contains("keyy"));
        assert_eq!(classic("{}"), "adapter.url is missing");
        assert!(classic(r#"{"url":"redis://x","requestsTimeout":0}"#).starts_with("adapter.requestsTimeout: 0 "));
        assert!(classic(r#"{"url":"redis://x","publishQueueBytes":1}"#).starts_with("adapter.publishQueueBytes: 1 "));
        assert!(classic(r#"{"url":"redis://x","key":""}"#).starts_with("adapter.key"));
        let text = classic(r#"{"url":"redis://:secret@x","requestsTimeout":"redis://:secret@x"}"#);
        assert!(text.starts_with("adapter.requestsTimeout") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn a_kind_has_its_own_options_and_no_others() {
        assert!(refused::<ClassicOptions>(r#"{"url":"redis://x","streamName":"a"}"#).contains("streamName"));
        assert!(refused::<StreamsOptions>(r#"{"url":"redis://x","key":"a"}"#).contains("key"));
        assert!(
            refused::<ShardedOptions>(r#"{"url":"redis://x","subscriptionMode":"all"}"#).contains("subscriptionMode")
        );
        for option in ["streamCount", "maxLen", "readCount", "blockTimeInMs", "heartbeatTimeout"] {
            let text = refused::<StreamsOptions>(&format!(r#"{{"url":"redis://x","{option}":0}}"#));
            assert!(text.starts_with(&format!("adapter.{option}: 0 ")), "{text}");
        }
    }
}
