//! The bounds of what peers can make an engine hold or do. Each is an option (`limits`); the defaults are such that no conforming
//! client notices them.

use serde::{Deserialize, Deserializer};

use super::error::{Code, Error};
use crate::proto::socket_packet::Limits as PacketLimits;

/// The value of a limit that is switched off.
pub const NO_LIMIT: u64 = u64::MAX;

/// What happens to a packet for a client whose budget (`outboundBytesMax`, `outboundPacketsMax`) is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OutboundPolicy {
    /// The client is disconnected.
    #[default]
    Disconnect,
    /// The packet is dropped.
    DropNewest,
    /// Packets that wait are dropped, the oldest first.
    DropOldest,
    /// Packets that wait are dropped if a later one carries the same key; when that makes no room the client is disconnected.
    Conflate,
}

/// What happens to a client that sends more than its rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RatePolicy {
    /// Its connection is read later.
    #[default]
    Delay,
    /// It is disconnected.
    Disconnect,
}

/// The limits of an engine; numbers of [`NO_LIMIT`] are none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    pub outbound_policy: OutboundPolicy,
    pub rate_policy: RatePolicy,

    /// Connections in all, long-polling's HTTP connections included; more are reset as they come. Sessions too; more are answered with 503.
    #[serde(deserialize_with = "number_or_false")]
    pub connections_max: u64,
    /// The same from one address. None by default: many clients share the address of a proxy or a NAT.
    #[serde(deserialize_with = "number_or_false")]
    pub connections_per_address_max: u64,
    /// Leading bits of an IPv6 address that count as one address.
    pub ipv6_prefix: u64,
    /// Connections that have sent no whole request yet, each I/O thread taking an equal share; with one more, the oldest is reset.
    #[serde(deserialize_with = "number_or_false")]
    pub handshakes_pending_max: u64,
    /// New sessions in a second from one address, on average; more are answered with status 429.
    #[serde(deserialize_with = "number_or_false")]
    pub handshakes_per_second: u64,
    /// How many of them may come at once.
    #[serde(deserialize_with = "number_or_false")]
    pub handshakes_burst: u64,

    /// Bytes of a request's line and headers.
    pub head_bytes_max: u64,
    /// Headers of a request, 128 at most.
    pub headers_max: u64,
    /// From a request's first byte, or the connection's start, to its last; and for an answer, or 64 KiB of it, to be taken.
    pub request_time_ms: u64,
    /// How long an HTTP connection may idle between requests.
    pub keep_alive_ms: u64,

    /// Engine.IO messages (a WebSocket's frames, the packets of a request) in a second from one session, on average; see `rate_policy`.
    #[serde(deserialize_with = "number_or_false")]
    pub messages_per_second: u64,
    /// How many of them may come at once.
    #[serde(deserialize_with = "number_or_false")]
    pub messages_burst: u64,
    /// Bytes of messages in a second from one session, on average; see `rate_policy`.
    #[serde(deserialize_with = "number_or_false")]
    pub bytes_per_second: u64,
    /// How many of them may come at once; a larger message is paid for by the time after it.
    #[serde(deserialize_with = "number_or_false")]
    pub bytes_burst: u64,
    /// Namespaces that a session is in or waits for; one more is refused with a CONNECT_ERROR.
    #[serde(deserialize_with = "number_or_false")]
    pub namespaces_max: u64,
    /// Namespaces among them whose CONNECT the host has not decided; one more is refused likewise.
    #[serde(deserialize_with = "number_or_false")]
    pub namespaces_pending_max: u64,
    /// Rooms that a socket is in, its own not counted; more are FULL for the host.
    #[serde(deserialize_with = "number_or_false")]
    pub rooms_max: u64,
    /// Bytes of an event's name, as UTF-8 after decoding. A longer one ends the connection, as what follows does.
    #[serde(deserialize_with = "number_or_false")]
    pub event_name_bytes_max: u64,
    /// Depth of nested arrays and objects in a packet, the array of its arguments included.
    #[serde(deserialize_with = "number_or_false")]
    pub json_depth_max: u64,
    /// Attachments of a packet (the official limit); together they may have so many times `maxHttpBufferSize` bytes. Not to be switched
    /// off.
    pub attachments_max: u64,
    /// From a packet to the last of its attachments.
    pub attachments_time_ms: u64,
    /// Acknowledgements that a socket waits for and the host has not given.
    #[serde(deserialize_with = "number_or_false")]
    pub acks_owed_max: u64,
    /// Acknowledgements that the host waits for from one socket; more are FULL for the host.
    #[serde(deserialize_with = "number_or_false")]
    pub acks_awaited_max: u64,

    /// Bytes that wait to be written to a session; see `outbound_policy`. One packet may always wait, however large.
    #[serde(deserialize_with = "number_or_false")]
    pub outbound_bytes_max: u64,
    /// Packets that wait to be written to a session; see `outbound_policy`.
    #[serde(deserialize_with = "number_or_false")]
    pub outbound_packets_max: u64,
    /// From so many waiting bytes on OUTBOUND_HIGH is delivered.
    #[serde(deserialize_with = "number_or_false")]
    pub outbound_high_bytes: u64,
    /// And at so many OUTBOUND_LOW; below `outbound_high_bytes`.
    pub outbound_low_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            outbound_policy: OutboundPolicy::default(),
            rate_policy: RatePolicy::default(),
            connections_max: 1_000_000,
            connections_per_address_max: NO_LIMIT,
            ipv6_prefix: 64,
            handshakes_pending_max: 16_384,
            handshakes_per_second: NO_LIMIT,
            handshakes_burst: 100,
            head_bytes_max: 16_384,
            headers_max: 64,
            request_time_ms: 60_000,
            keep_alive_ms: 60_000,
            messages_per_second: NO_LIMIT,
            messages_burst: 100,
            bytes_per_second: NO_LIMIT,
            bytes_burst: 1_000_000,
            namespaces_max: 1_024,
            namespaces_pending_max: 256,
            rooms_max: 65_536,
            event_name_bytes_max: 4_096,
            json_depth_max: 1_024,
            attachments_max: 10,
            attachments_time_ms: 60_000,
            acks_owed_max: 65_536,
            acks_awaited_max: 65_536,
            outbound_bytes_max: 16 << 20,
            outbound_packets_max: 65_536,
            outbound_high_bytes: NO_LIMIT,
            outbound_low_bytes: 0,
        }
    }
}

/// A limit's name, value, and the least and most that it may be; and whether it may be none.
type Row = (&'static str, u64, u64, u64, bool);

impl Limits {
    /// Refuses what is out of range, by its name.
    pub fn validate(&self) -> Result<(), Error> {
        for (name, value, min, max, optional) in self.rows() {
            let none = optional && value == NO_LIMIT;
            if !none && !(min..=max).contains(&value) {
                let or_none = if optional { ", or false for none" } else { "" };
                return Err(Error::new(
                    Code::Invalid,
                    format!("limits.{name}: {value} is not in {min}..={max}{or_none}"),
                ));
            }
        }
        if self.outbound_low_bytes >= self.outbound_high_bytes {
            let text = format!(
                "limits.outboundLowBytes: {} is not below outboundHighBytes, {}",
                self.outbound_low_bytes, self.outbound_high_bytes
            );
            return Err(Error::new(Code::Invalid, text));
        }
        Ok(())
    }

    /// Those that the decoder of packets holds.
    pub fn of_packets(&self) -> PacketLimits {
        PacketLimits {
            attachments_max: u32::try_from(self.attachments_max).unwrap_or(u32::MAX),
            event_name_max: usize::try_from(self.event_name_bytes_max).unwrap_or(usize::MAX),
            json_depth_max: u32::try_from(self.json_depth_max).unwrap_or(u32::MAX),
        }
    }

    fn rows(&self) -> [Row; 27] {
        [
            ("connectionsMax", self.connections_max, 1, 1 << 24, true),
            ("connectionsPerAddressMax", self.connections_per_address_max, 1, 1 << 24, true),
            ("ipv6Prefix", self.ipv6_prefix, 1, 128, false),
            ("handshakesPendingMax", self.handshakes_pending_max, 1, 1 << 24, true),
            ("handshakesPerSecond", self.handshakes_per_second, 1, 1 << 32, true),
            ("handshakesBurst", self.handshakes_burst, 1, 1 << 32, true),
            ("headBytesMax", self.head_bytes_max, 256, 65_535, false),
            ("headersMax", self.headers_max, 1, 128, false),
            ("requestTimeMs", self.request_time_ms, 1, 86_400_000, false),
            ("keepAliveMs", self.keep_alive_ms, 1, 86_400_000, false),
            ("messagesPerSecond", self.messages_per_second, 1, 1 << 32, true),
            ("messagesBurst", self.messages_burst, 1, 1 << 32, true),
            ("bytesPerSecond", self.bytes_per_second, 1, 1 << 40, true),
            ("bytesBurst", self.bytes_burst, 1, 1 << 40, true),
            ("namespacesMax", self.namespaces_max, 1, 1 << 24, true),
            ("namespacesPendingMax", self.namespaces_pending_max, 1, 1 << 24, true),
            ("roomsMax", self.rooms_max, 1, 1 << 32, true),
            ("eventNameBytesMax", self.event_name_bytes_max, 1, 1 << 30, true),
            ("jsonDepthMax", self.json_depth_max, 1, 1 << 30, true),
            ("attachmentsMax", self.attachments_max, 0, 1_000_000, false),
            ("attachmentsTimeMs", self.attachments_time_ms, 1, 86_400_000, false),
            ("acksOwedMax", self.acks_owed_max, 1, 1 << 24, true),
            ("acksAwaitedMax", self.acks_awaited_max, 1, 1 << 24, true),
            ("outboundBytesMax", self.outbound_bytes_max, 1, 1 << 40, true),
            ("outboundPacketsMax", self.outbound_packets_max, 1, 1 << 32, true),
            ("outboundHighBytes", self.outbound_high_bytes, 1, 1 << 40, true),
            ("outboundLowBytes", self.outbound_low_bytes, 0, 1 << 40, false),
        ]
    }
}

/// A number, or `false` for [`NO_LIMIT`].
fn number_or_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Number(u64),
        Switch(bool),
    }
    match Given::deserialize(deserializer) {
        Ok(Given::Number(value)) => Ok(value),
        Ok(Given::Switch(false)) => Ok(NO_LIMIT),
        _ => Err(serde::de::Error::custom("a limit is a whole number, or false for none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Limits {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn defaults_are_in_range() {
        Limits::default().validate().unwrap();
    }

    #[test]
    fn false_is_no_limit() {
        let limits = parsed(r#"{"connectionsMax":false,"outboundPolicy":"dropOldest","ratePolicy":"disconnect"}"#);
        assert_eq!(limits.connections_max, NO_LIMIT);
        assert_eq!((limits.outbound_policy, limits.rate_policy), (OutboundPolicy::DropOldest, RatePolicy::Disconnect));
        limits.validate().unwrap();
        assert!(serde_json::from_str::<Limits>(r#"{"connectionsMax":true}"#).is_err());
        assert!(serde_json::from_str::<Limits>(r#"{"headBytesMax":false}"#).is_err());
    }

    #[test]
    fn each_limit_is_refused_by_its_name_when_out_of_range() {
        for (name, _, min, max, optional) in Limits::default().rows() {
            let mut wrong = vec![max + 1];
            wrong.extend(min.checked_sub(1));
            wrong.extend((!optional).then_some(NO_LIMIT));
            for value in wrong {
                let error = parsed(&format!(r#"{{"{name}":{value}}}"#)).validate().unwrap_err();
                assert!(error.text.starts_with(&format!("limits.{name}: {value}")), "{}", error.text);
            }
        }
        assert!(parsed(r#"{"outboundHighBytes":10,"outboundLowBytes":10}"#).validate().is_err());
    }
}
