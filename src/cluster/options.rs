//! Options of adapters, by their official names.

use serde::Deserialize;

use crate::server::{Code, Error};

/// What may wait for the broker: some seconds of a busy server's broadcasts.
const PUBLISH_QUEUE_BYTES: u64 = 16 << 20;
const PUBLISH_QUEUE_BYTES_MIN: u64 = 64 << 10;
const PUBLISH_QUEUE_BYTES_MAX: u64 = 4 << 30;
/// A day: longer patience is a mistake.
const TIMEOUT_MAX_MS: u32 = 86_400_000;
/// Bytes of the prefix of channels.
const KEY_MAX: usize = 256;

/// Whom a connection over TLS trusts, and what it shows; files in PEM, read when the adapter is set.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Tls {
    /// The authorities that are trusted; by default those of the system.
    pub ca_file: Option<String>,
    /// This server's certificate, with those between it and its authority.
    pub cert_file: Option<String>,
    /// Its key.
    pub key_file: Option<String>,
}

/// Options of the kind `redis`.
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
    /// Prefix of the channels.
    pub key: String,
    /// Patience for the answers of other servers, milliseconds.
    pub requests_timeout: u32,
    /// Answer on the channel of the server that asked. Requests of other servers are heard by all either way.
    pub publish_on_specific_response_channel: bool,
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
            key: "socket.io".to_owned(),
            requests_timeout: 5000,
            publish_on_specific_response_channel: false,
            publish_queue_bytes: PUBLISH_QUEUE_BYTES,
        }
    }
}

impl Options {
    /// Reads and checks a JSON object. Errors name the option and, but for the URL, its value.
    pub fn from_json(json: &str) -> Result<Options, Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let options: Options = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let code = if error.inner().is_data() { Code::Invalid } else { Code::BadJson };
            Error::new(code, format!("adapter.{}: {}", error.path(), without_values(&error.inner().to_string())))
        })?;
        deserializer.end().map_err(|error| Error::new(Code::BadJson, format!("adapter: {error}")))?;
        let invalid = |text: String| Err(Error::new(Code::Invalid, text));
        if options.url.is_empty() && options.nodes.is_empty() {
            return invalid("adapter.url is missing".to_owned());
        }
        let is_elsewhere = !options.url.is_empty() || !options.sentinels.is_empty();
        if is_elsewhere && !options.nodes.is_empty() {
            return invalid("adapter.nodes stands in place of url and sentinels".to_owned());
        }
        if options.key.is_empty() || options.key.len() > KEY_MAX {
            return invalid(format!("adapter.key has {} bytes; 1 to {KEY_MAX} are allowed", options.key.len()));
        }
        if !(1..=TIMEOUT_MAX_MS).contains(&options.requests_timeout) {
            let text = format!("adapter.requestsTimeout: {} is not in 1..={TIMEOUT_MAX_MS}", options.requests_timeout);
            return invalid(text);
        }
        let range = PUBLISH_QUEUE_BYTES_MIN..=PUBLISH_QUEUE_BYTES_MAX;
        if !range.contains(&options.publish_queue_bytes) {
            return invalid(format!("adapter.publishQueueBytes: {} is not in {range:?}", options.publish_queue_bytes));
        }
        Ok(options)
    }
}

/// An error of the parser up to the value that it quotes, which may be a secret.
fn without_values(text: &str) -> &str {
    match text.strip_prefix("invalid type: ") {
        Some(_) => text.split_once("expected").map_or("invalid type", |(_, expected)| expected.trim()),
        None => text,
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
        let options = Options::from_json(r#"{"url":"redis://localhost"}"#).unwrap();
        assert_eq!((options.key.as_str(), options.requests_timeout), ("socket.io", 5000));
        assert!(!options.publish_on_specific_response_channel);
    }

    #[test]
    fn what_is_wrong_is_named_but_no_secret_is() {
        assert!(refused(r#"{"url":"redis://x","keyy":"a"}"#).contains("keyy"));
        assert_eq!(refused("{}"), "adapter.url is missing");
        assert!(refused(r#"{"url":"redis://x","requestsTimeout":0}"#).starts_with("adapter.requestsTimeout: 0 "));
        assert!(refused(r#"{"url":"redis://x","publishQueueBytes":1}"#).starts_with("adapter.publishQueueBytes: 1 "));
        assert!(refused(r#"{"url":"redis://x","key":""}"#).starts_with("adapter.key"));
        let text = refused(r#"{"url":"redis://:secret@x","requestsTimeout":"redis://:secret@x"}"#);
        assert!(text.starts_with("adapter.requestsTimeout") && !text.contains("secret"), "{text}");
    }
}
