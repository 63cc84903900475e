//! Why a request is refused: what its peer is answered, and what the host is told.

use std::borrow::Cow;
use std::net::IpAddr;

use super::http::response::EngineError;
use crate::proto::json;
use crate::server::Count;

/// Why a request is refused.
#[derive(Debug)]
pub struct Refusal {
    pub error: EngineError,
    /// Instead of the error's own text, if not empty.
    pub message: Cow<'static, str>,
    /// For the host: what was wrong, as the official `connection_error` event has it.
    pub context: (&'static str, String),
    /// If it is a bound that the official server does not have.
    pub bound: Option<Box<Bound>>,
}

/// A refusal of our own. It is answered alike on polling and on WebSocket, with a status that proxies and programs know.
#[derive(Debug)]
pub struct Bound {
    pub status: u16,
    /// When the peer may come again.
    pub retry_after_s: Option<u64>,
    /// The option that bounds it, and its value.
    pub limit: Option<(&'static str, u64)>,
    pub count: Count,
}

impl Refusal {
    /// A refusal in the official words.
    pub fn new(error: EngineError, what: &'static str, value: impl Into<String>) -> Refusal {
        Refusal { error, message: "".into(), context: (what, value.into()), bound: None }
    }

    /// The request comes from a page that may not talk to this server.
    pub fn of_origin(origin: &[u8]) -> Refusal {
        let bound = Bound { status: 403, retry_after_s: None, limit: None, count: Count::OriginsRefused };
        let origin = String::from_utf8_lossy(origin);
        Refusal { bound: Some(Box::new(bound)), ..Refusal::new(EngineError::Forbidden, "origin", origin) }
    }

    /// The address opens sessions more often than `handshakesPerSecond`.
    pub fn of_rate(address: IpAddr, per_second: u64, retry_after_s: u64) -> Refusal {
        let (limit, retry_after_s) = (Some(("handshakesPerSecond", per_second)), Some(retry_after_s));
        let bound = Bound { status: 429, retry_after_s, limit, count: Count::HandshakesThrottled };
        Refusal {
            message: "Too many handshakes from this address".into(),
            bound: Some(Box::new(bound)),
            ..Refusal::new(EngineError::BadRequest, "address", address.to_string())
        }
    }

    /// There are as many sessions as there may be connections: on long-polling, one connection could open any number.
    pub fn of_count(connections_max: u64) -> Refusal {
        let limit = Some(("connectionsMax", connections_max));
        let bound = Bound { status: 503, retry_after_s: None, limit, count: Count::ConnectionsRefused };
        Refusal {
            message: "Too many sessions".into(),
            bound: Some(Box::new(bound)),
            ..Refusal::new(EngineError::BadRequest, "name", "TOO_MANY_SESSIONS")
        }
    }

    /// Puts the session id into a refusal that is about it.
    pub fn about(mut self, sid: &str) -> Refusal {
        if self.context.0 == "sid" {
            self.context.1 = sid.to_owned();
        }
        self
    }

    /// The context, and the limit that was passed if there is one, as a JSON object.
    pub fn describe(&self) -> String {
        let mut data = b"{".to_vec();
        json::write_string(self.context.0, &mut data);
        data.push(b':');
        json::write_string(&self.context.1, &mut data);
        if let Some((option, value)) = self.bound.as_ref().and_then(|bound| bound.limit) {
            data.extend_from_slice(b",\"limit\":");
            json::write_string(option, &mut data);
            data.extend_from_slice(format!(",\"value\":{value}").as_bytes());
        }
        data.push(b'}');
        String::from_utf8_lossy(&data).into_owned()
    }
}
