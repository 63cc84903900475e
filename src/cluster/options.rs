//! How options of adapters are read and checked, whatever the broker, and the bounds and the TLS that they share. Each broker's options are
//! beside it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::server::{Code, Error};

/// What may wait for the broker: some seconds of a busy server's broadcasts.
pub const PUBLISH_QUEUE_BYTES: u64 = 16 << 20;
const PUBLISH_QUEUE_BYTES_MIN: u64 = 64 << 10;
const PUBLISH_QUEUE_BYTES_MAX: u64 = 4 << 30;
/// A day: longer patience is a mistake.
pub const TIMEOUT_MAX_MS: u32 = 86_400_000;
/// Bytes of the names and prefixes of channels and streams.
const NAME_MAX: usize = 256;

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

/// The members of a JSON object.
pub type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Reads a JSON object.
pub fn members(json: &str) -> Result<Members<'_>, Error> {
    serde_json::from_str(json).map_err(|error| {
        let code = if error.is_data() { Code::Invalid } else { Code::BadJson };
        Error::new(code, format!("adapter: {}", without_values(&error.to_string())))
    })
}

/// Reads members as options. Errors name the option, and not its value.
pub fn parse<T: DeserializeOwned>(members: &Members<'_>) -> Result<T, Error> {
    let text = serde_json::to_string(members).map_err(|error| Error::new(Code::BadJson, error.to_string()))?;
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text)).map_err(|error| {
        let text = format!("adapter.{}: {}", error.path(), without_values(&error.inner().to_string()));
        Error::new(Code::Invalid, text)
    })
}

/// Checks what every adapter has.
pub fn check_bounds(requests_timeout: u32, publish_queue_bytes: u64) -> Result<(), Error> {
    check_range("requestsTimeout", requests_timeout.into(), 1, TIMEOUT_MAX_MS.into())?;
    check_range("publishQueueBytes", publish_queue_bytes, PUBLISH_QUEUE_BYTES_MIN, PUBLISH_QUEUE_BYTES_MAX)
}

/// Checks a prefix of names.
pub fn check_name(option: &str, name: &str) -> Result<(), Error> {
    if (1..=NAME_MAX).contains(&name.len()) {
        return Ok(());
    }
    let text = format!("adapter.{option} has {} bytes; 1 to {NAME_MAX} are allowed", name.len());
    Err(Error::new(Code::Invalid, text))
}

/// Checks the range of an option.
pub fn check_range(option: &str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::new(Code::Invalid, format!("adapter.{option}: {value} is not in {min}..={max}")))
}

/// An error of the parser up to the value that it quotes, which may be a secret.
fn without_values(text: &str) -> &str {
    match text.strip_prefix("invalid type: ") {
        Some(_) => text.split_once("expected").map_or("invalid type", |(_, expected)| expected.trim()),
        None => text,
    }
}
