//! What the transports are configured with.

use super::http::{ClientFiles, Cookie, Cors, HeadLimits, HttpCompression};
use super::proxies::TrustedProxies;
use crate::proto::session::Timing;

/// Options of the Engine.IO layer, validated.
pub struct Config {
    /// Prefix of the URLs that are the engine's, with its trailing slash if it has one.
    pub path: String,
    pub polling: bool,
    pub websocket: bool,
    pub allow_upgrades: bool,
    pub timing: Timing,
    /// `maxHttpBufferSize`: bytes of a message or request body.
    pub message_max: usize,
    pub cors: Option<Cors>,
    pub cookie: Option<Cookie>,
    /// Complete header lines that each answer carries.
    pub header_lines: Vec<u8>,
    pub compression: Option<HttpCompression>,
    pub client_files: Option<ClientFiles>,
    /// The path whose GET is answered with the metrics.
    pub metrics_path: Option<String>,
    /// Ask the host about each handshake.
    pub allow_request: bool,
    /// Ask the host for answers to requests that are nobody's.
    pub http_events: bool,
    /// Tell the host of refused requests.
    pub connection_errors: bool,
    pub head_limits: HeadLimits,
    /// Refuse requests from pages that `cors` does not allow.
    pub check_origin: bool,
    /// Proxies that tell the addresses of their clients.
    pub trusted_proxies: TrustedProxies,
}
