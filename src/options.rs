//! The options of an engine by their official names, and their validation: from here on a value is right.

use std::path::Path;

use serde::Deserialize;

use crate::net::http::{ClientFiles, Cookie, Cors, HeadLimits, HeaderLines, HttpCompression, toggle};
use crate::net::{Config as NetConfig, TrustedProxies};
use crate::proto::session::Timing;
use crate::server::{Code, Config as ServerConfig, Error, Limits};

/// More threads than any machine of ours has cores; each costs a stack and a descriptor.
const SHARDS_MAX: u32 = 256;
/// A day: longer times are taken for a mistake in units.
const TIME_MAX_MS: u32 = 86_400_000;
/// Offsets of a packed batch are 32-bit, and a message must fit one.
const MESSAGE_MAX: u64 = 1 << 30;
/// As for a message.
const QUEUE_BYTES_MAX: u64 = 1 << 40;
const QUEUE_EVENTS_MAX: u64 = 1 << 32;
/// Bytes of the path, which is compared with every request.
const PATH_MAX: usize = 256;

/// The options as a host gives them in JSON. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Options {
    /// Default `/socket.io`, of a bare Engine.IO server `/engine.io`.
    pub path: Option<String>,
    pub add_trailing_slash: bool,
    pub transports: Vec<String>,
    pub allow_upgrades: bool,
    pub ping_interval: u32,
    pub ping_timeout: u32,
    pub upgrade_timeout: u32,
    pub connect_timeout: u32,
    /// Namespaces that clients made by a pattern end with their last socket.
    pub cleanup_empty_child_namespaces: bool,
    pub max_http_buffer_size: u64,
    #[serde(deserialize_with = "toggle")]
    pub cors: Option<Cors>,
    #[serde(deserialize_with = "toggle")]
    pub cookie: Option<Cookie>,
    #[serde(deserialize_with = "toggle")]
    pub http_compression: Option<HttpCompression>,
    /// Headers that each answer carries.
    pub headers: serde_json::Map<String, serde_json::Value>,
    /// Folder of an npm `socket.io-client`.
    pub client_dir: Option<String>,
    /// A GET of exactly this path is answered with the metrics.
    pub metrics_path: Option<String>,
    pub allow_request: bool,
    pub connection_errors: bool,
    /// Requests outside the path are the host's to answer.
    pub http_events: bool,
    pub engine_only: bool,
    pub shards: u32,
    pub queue_events_max: u64,
    pub queue_bytes_max: u64,
    pub limits: Limits,
    /// Refuse requests whose `Origin` is neither allowed by `cors` nor, without `cors`, the server's own.
    pub check_origin: bool,
    /// Addresses and networks whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: TrustedProxies,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            path: None,
            add_trailing_slash: true,
            transports: vec!["polling".into(), "websocket".into()],
            allow_upgrades: true,
            ping_interval: 25_000,
            ping_timeout: 20_000,
            upgrade_timeout: 10_000,
            connect_timeout: 45_000,
            cleanup_empty_child_namespaces: false,
            max_http_buffer_size: 1_000_000,
            cors: None,
            cookie: None,
            http_compression: Some(HttpCompression::default()),
            headers: serde_json::Map::new(),
            client_dir: None,
            metrics_path: None,
            allow_request: false,
            connection_errors: false,
            http_events: false,
            engine_only: false,
            shards: 1,
            queue_events_max: 65_536,
            queue_bytes_max: 64 << 20,
            limits: Limits::default(),
            check_origin: false,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

impl Options {
    /// Reads JSON; the error names the key, or the line and column.
    pub fn from_json(json: &str) -> Result<Options, Error> {
        // A struct would be read from an array too, and an empty one would be all defaults.
        crate::proto::json::object(json)
            .map_err(|error| Error::new(Code::BadJson, format!("options must be a JSON object: {error}")))?;
        let deserializer = &mut serde_json::Deserializer::from_str(json);
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let path = error.path().to_string();
            let path = if path == "." { "options".to_owned() } else { format!("options.{path}") };
            Error::new(Code::Invalid, format!("{path}: {}", error.inner()))
        })
    }

    /// Validates everything.
    pub fn into_configs(self) -> Result<(ServerConfig, NetConfig), Error> {
        let server = self.server()?;
        let (polling, websocket) = self.transports()?;
        let path = self.path()?;
        let client_files = match &self.client_dir {
            Some(folder) => Some(
                ClientFiles::load(Path::new(folder), path.trim_end_matches('/'))
                    .map_err(|error| Error::new(Code::Io, format!("clientDir: {error}")))?,
            ),
            None => None,
        };
        let metrics_path = self.metrics_path(&path)?;
        let headers = serde_json::Value::Object(self.headers.clone()).to_string();
        let header_lines =
            HeaderLines::from_json(&headers).map_err(|error| Error::new(Code::Invalid, format!("headers: {error}")))?;
        let timing = Timing {
            ping_interval_ms: in_range("pingInterval", self.ping_interval, 1, TIME_MAX_MS)?,
            ping_timeout_ms: in_range("pingTimeout", self.ping_timeout, 1, TIME_MAX_MS)?,
            upgrade_timeout_ms: in_range("upgradeTimeout", self.upgrade_timeout, 1, TIME_MAX_MS)?,
        };
        let net = NetConfig {
            path,
            polling,
            websocket,
            allow_upgrades: self.allow_upgrades,
            timing,
            message_max: in_range("maxHttpBufferSize", self.max_http_buffer_size, 1, MESSAGE_MAX)? as usize,
            cors: self.cors,
            cookie: self.cookie,
            header_lines: header_lines.as_bytes().to_vec(),
            compression: self.http_compression,
            client_files,
            metrics_path,
            allow_request: self.allow_request,
            connection_errors: self.connection_errors,
            http_events: self.http_events,
            head_limits: HeadLimits {
                bytes_max: server.limits.head_bytes_max as usize,
                headers_max: server.limits.headers_max as usize,
            },
            check_origin: self.check_origin,
            trusted_proxies: self.trusted_proxies,
        };
        Ok((server, net))
    }

    fn server(&self) -> Result<ServerConfig, Error> {
        self.limits.validate()?;
        Ok(ServerConfig {
            shards: in_range("shards", self.shards, 1, SHARDS_MAX)? as usize,
            engine_only: self.engine_only,
            connect_timeout_ms: in_range("connectTimeout", self.connect_timeout, 1, TIME_MAX_MS)?,
            cleanup_empty_children: self.cleanup_empty_child_namespaces,
            queue_events_max: in_range("queueEventsMax", self.queue_events_max, 1, QUEUE_EVENTS_MAX)? as usize,
            queue_bytes_max: in_range("queueBytesMax", self.queue_bytes_max, 1, QUEUE_BYTES_MAX)? as usize,
            limits: self.limits.clone(),
        })
    }

    fn transports(&self) -> Result<(bool, bool), Error> {
        let known = ["polling", "websocket"];
        if let Some(other) = self.transports.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::new(
                Code::Invalid,
                format!("transports: {other:?} is none of \"polling\", \"websocket\""),
            ));
        }
        let has = |name: &str| self.transports.iter().any(|transport| transport == name);
        if !has("polling") && !has("websocket") {
            return Err(Error::new(Code::Invalid, "transports: the list is empty"));
        }
        Ok((has("polling"), has("websocket")))
    }

    /// The prefix of the engine's URLs: one trailing slash is taken off, and added again unless that is switched off.
    fn path(&self) -> Result<String, Error> {
        let default = if self.engine_only { "/engine.io" } else { "/socket.io" };
        let path = self.path.as_deref().unwrap_or(default);
        let path = path.strip_suffix('/').unwrap_or(path);
        check_path("path", path)?;
        Ok(if self.add_trailing_slash { format!("{path}/") } else { path.to_owned() })
    }

    /// The path of the metrics, which must not be one of the engine's own.
    fn metrics_path(&self, path: &str) -> Result<Option<String>, Error> {
        let Some(metrics_path) = &self.metrics_path else { return Ok(None) };
        check_path("metricsPath", metrics_path)?;
        if metrics_path.starts_with(path) {
            return Err(Error::new(Code::Invalid, format!("metricsPath: {metrics_path:?} is below path, {path:?}")));
        }
        Ok(Some(metrics_path.clone()))
    }
}

fn check_path(name: &str, path: &str) -> Result<(), Error> {
    let allowed = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    if path.starts_with('/') && path.len() <= PATH_MAX && allowed {
        return Ok(());
    }
    let text =
        format!("{name}: {path:?} must start with / and have at most {PATH_MAX} printable characters, no ? or #");
    Err(Error::new(Code::Invalid, text))
}

fn in_range<T: PartialOrd + std::fmt::Display>(name: &str, value: T, min: T, max: T) -> Result<T, Error> {
    if value < min || value > max {
        return Err(Error::new(Code::Invalid, format!("{name}: {value} is not in {min}..={max}")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Options::from_json(json).and_then(|options| options.into_configs().map(|_| ())).unwrap_err().text.into_owned()
    }

    #[test]
    fn defaults_are_the_official_ones() {
        let (server, net) = Options::from_json("{}").unwrap().into_configs().unwrap();
        assert_eq!((net.path.as_str(), net.message_max), ("/socket.io/", 1_000_000));
        assert_eq!((net.timing.ping_interval_ms, net.timing.ping_timeout_ms), (25_000, 20_000));
        assert_eq!((server.connect_timeout_ms, server.limits.attachments_max), (45_000, 10));
        assert!(net.cors.is_none() && net.cookie.is_none() && net.compression.is_some());
        assert!(!net.check_origin && !net.trusted_proxies.contain("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_wrong_type_is_named_with_its_key() {
        assert!(refused(r#"{"cookie":{"path":5}}"#).starts_with("options.cookie.path: "));
        assert!(refused(r#"{"pingInterval":"soon"}"#).starts_with("options.pingInterval: "));
        assert!(refused(r#"{"trustedProxies":["10.0.0.1","proxy"]}"#).starts_with("options.trustedProxies: \"proxy\""));
        assert!(refused("[]").contains("object"));
    }

    #[test]
    fn an_unknown_key_is_named() {
        assert!(refused(r#"{"pingIntervall":1}"#).contains("pingIntervall"));
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_bounds() {
        assert_eq!(refused(r#"{"shards":0}"#), "shards: 0 is not in 1..=256");
        assert!(refused(r#"{"pingTimeout":86400001}"#).starts_with("pingTimeout: 86400001"));
        assert!(refused(r#"{"maxHttpBufferSize":0}"#).starts_with("maxHttpBufferSize"));
        assert!(refused(r#"{"transports":["carrier-pigeon"]}"#).contains("carrier-pigeon"));
        assert!(refused(r#"{"transports":[]}"#).contains("empty"));
        assert!(refused(r#"{"path":"no-slash"}"#).contains("no-slash"));
        assert!(refused(r#"{"headers":{"X":"a\r\nb"}}"#).contains("X"));
        assert!(refused(r#"{"metricsPath":"metrics"}"#).starts_with("metricsPath"));
        assert!(refused(r#"{"metricsPath":"/socket.io/metrics"}"#).contains("below path"));
    }

    #[test]
    fn the_path_keeps_its_slash_unless_told_otherwise() {
        let path = |json: &str| Options::from_json(json).unwrap().into_configs().unwrap().1.path;
        assert_eq!(path(r#"{"path":"/chat"}"#), "/chat/");
        assert_eq!(path(r#"{"path":"/chat/"}"#), "/chat/");
        assert_eq!(path(r#"{"path":"/chat/","addTrailingSlash":false}"#), "/chat");
        assert_eq!(path(r#"{"engineOnly":true}"#), "/engine.io/");
    }
}
