//! Why a socket left: the official server's words, and what is known beyond them.

use crate::proto::json;

/// The official reasons, numbered as in the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    TransportError = 1,
    TransportClose = 2,
    PingTimeout = 3,
    ParseError = 4,
    ForcedClose = 5,
    ForcedServerClose = 6,
    ServerShuttingDown = 7,
    ClientNamespaceDisconnect = 8,
    ServerNamespaceDisconnect = 9,
}

impl Reason {
    /// The reason as Socket.IO gives it to `disconnect` handlers.
    pub fn text(self) -> &'static str {
        match self {
            Reason::TransportError => "transport error",
            Reason::TransportClose => "transport close",
            Reason::PingTimeout => "ping timeout",
            Reason::ParseError => "parse error",
            Reason::ForcedClose => "forced close",
            Reason::ForcedServerClose => "forced server close",
            Reason::ServerShuttingDown => "server shutting down",
            Reason::ClientNamespaceDisconnect => "client namespace disconnect",
            Reason::ServerNamespaceDisconnect => "server namespace disconnect",
        }
    }
}

/// A reason with its cause: what happened, and which limit it was that was passed.
#[derive(Clone, Debug)]
pub struct Cause {
    pub reason: Reason,
    /// One sentence; empty if the reason says it all.
    pub description: std::borrow::Cow<'static, str>,
    /// The option that bounds it, and its value.
    pub limit: Option<(&'static str, u64)>,
}

impl Cause {
    /// A reason that says it all.
    pub fn new(reason: Reason) -> Cause {
        Cause { reason, description: "".into(), limit: None }
    }

    /// A reason and what happened.
    pub fn because(reason: Reason, description: impl Into<std::borrow::Cow<'static, str>>) -> Cause {
        Cause { reason, description: description.into(), limit: None }
    }

    /// Names the limit that was passed.
    pub fn limit(mut self, option: &'static str, value: u64) -> Cause {
        self.limit = Some((option, value));
        self
    }

    /// `{"reason":…,"description":…,"limit":…,"value":…}`, and `rooms` (each JSON-quoted here) if given.
    pub fn write_json(&self, rooms: Option<&[std::sync::Arc<str>]>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"reason\":");
        json::write_string(self.reason.text(), out);
        if !self.description.is_empty() {
            out.extend_from_slice(b",\"description\":");
            json::write_string(&self.description, out);
        }
        if let Some((option, value)) = self.limit {
            out.extend_from_slice(b",\"limit\":");
            json::write_string(option, out);
            out.extend_from_slice(format!(",\"value\":{value}").as_bytes());
        }
        if let Some(rooms) = rooms {
            out.extend_from_slice(b",\"rooms\":");
            super::write_strings(rooms.iter().map(|room| &**room), out);
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_names_its_limit() {
        let mut out = Vec::new();
        Cause::because(Reason::TransportError, "message too big")
            .limit("maxHttpBufferSize", 10)
            .write_json(Some(&["a\"".into()]), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            r#"{"reason":"transport error","description":"message too big","limit":"maxHttpBufferSize","value":10,"rooms":["a\""]}"#
        );
    }
}
