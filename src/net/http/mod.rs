//! HTTP/1.x as the engine needs it, without network I/O: bytes in, bytes out.
//!
//! In reading order:
//!
//! - [`request`]: one request head, parsed and owned; `framing`: what it says about its body and connection, where
//!   everything that smells of request smuggling is refused; `json`: its headers as Node shows them.
//! - [`query`]: the parameters of a query string or of a form body.
//! - [`body`]: the body that follows a head, by length or in chunks, never more than the caller's limit.
//! - [`response`]: the answers of Engine.IO, appended to the caller's buffer; header lines that a host may add.
//! - [`cors`], [`cookie`], [`compression`]: three options of the official server and the lines that follow from them.
//! - [`files`]: the browser client; [`static_dir`]: a folder of pages.
//!
//! Invariants: a [`Head`] that exists is well formed and its body is delimited without doubt; no byte that a peer or a
//! host gives can end a header line early; every size is bounded before memory is taken. There are no sockets and no clock
//! here (the caller hands in the `Date` text), and only the last two modules read files. HTTP/2, ranges and multipart
//! bodies are not spoken.

pub mod body;
pub mod compression;
pub mod cookie;
pub mod cors;
pub mod files;
mod framing;
mod json;
pub mod query;
pub mod request;
pub mod response;
pub mod static_dir;

pub use body::BodyDecoder;
pub use compression::{Compressor, Encoding, HttpCompression};
pub use cookie::Cookie;
pub use cors::Cors;
pub use files::ClientFiles;
pub use framing::BodyKind;
pub use query::EngineQuery;
pub use request::{HEAD_BYTES_CEILING, Head, HeadLimits, HttpError, Method, parse_head};
pub use response::{Envelope, HeaderLines};
pub use static_dir::StaticDir;

pub(crate) use json::push_json_string;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Reads an option that is `false` or null (off), `true` (on, with its defaults) or an object (on, as it says).
///
/// For use as `#[serde(default, deserialize_with = "toggle")]` on an `Option<T>`: `cors`, `cookie` and `httpCompression`
/// of the official server take these three forms.
///
/// # Errors
/// Whatever `T` refuses in its object, and any other JSON type.
pub fn toggle<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    deserializer.deserialize_any(ToggleVisitor(PhantomData))
}

struct ToggleVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for ToggleVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, null or an object of options")
    }

    fn visit_bool<E>(self, on: bool) -> Result<Self::Value, E> {
        Ok(on.then(T::default))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Options {
        #[serde(default, deserialize_with = "toggle")]
        compression: Option<HttpCompression>,
    }

    fn read(text: &str) -> Result<Option<HttpCompression>, serde_json::Error> {
        serde_json::from_str::<Options>(text).map(|options| options.compression)
    }

    #[test]
    fn an_option_is_off_on_or_an_object() {
        assert!(read("{}").unwrap().is_none());
        assert!(read(r#"{"compression":null}"#).unwrap().is_none());
        assert!(read(r#"{"compression":false}"#).unwrap().is_none());
        assert_eq!(read(r#"{"compression":true}"#).unwrap().unwrap().threshold, 1024);
        assert_eq!(read(r#"{"compression":{"threshold":7}}"#).unwrap().unwrap().threshold, 7);
        assert!(read(r#"{"compression":{"treshold":7}}"#).is_err());
        assert!(read(r#"{"compression":3}"#).is_err());
    }
}
