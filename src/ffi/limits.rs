//! Limits as C gives them.

use super::boundary::*;
use super::constants::*;
use super::types::*;
use crate::server::{Code, Error, Limits, OutboundPolicy, RatePolicy};

/// NULL is all defaults, and so is 0 of each.
///
/// # Safety
/// `given` is NULL or valid.
pub unsafe fn limits_of(given: *const sockeye_limits) -> Outcome<Limits> {
    let default = Limits::default();
    if given.is_null() {
        return Ok(default);
    }
    // SAFETY: the caller's promise.
    let given = unsafe { sized(given, "options.limits") }?;
    let or = |value: u64, default: u64| if value == 0 { default } else { value };
    Ok(Limits {
        outbound_policy: outbound_policy_of(given.outbound_policy)?,
        rate_policy: rate_policy_of(given.rate_policy)?,
        connections_max: or(given.connections_max, default.connections_max),
        connections_per_address_max: or(given.connections_per_address_max, default.connections_per_address_max),
        ipv6_prefix: or(given.ipv6_prefix, default.ipv6_prefix),
        handshakes_pending_max: or(given.handshakes_pending_max, default.handshakes_pending_max),
        handshakes_per_second: or(given.handshakes_per_second, default.handshakes_per_second),
        handshakes_burst: or(given.handshakes_burst, default.handshakes_burst),
        head_bytes_max: or(given.head_bytes_max, default.head_bytes_max),
        headers_max: or(given.headers_max, default.headers_max),
        request_time_ms: or(given.request_time_ms, default.request_time_ms),
        keep_alive_ms: or(given.keep_alive_ms, default.keep_alive_ms),
        messages_per_second: or(given.messages_per_second, default.messages_per_second),
        messages_burst: or(given.messages_burst, default.messages_burst),
        bytes_per_second: or(given.bytes_per_second, default.bytes_per_second),
        bytes_burst: or(given.bytes_burst, default.bytes_burst),
        namespaces_max: or(given.namespaces_max, default.namespaces_max),
        namespaces_pending_max: or(given.namespaces_pending_max, default.namespaces_pending_max),
        rooms_max: or(given.rooms_max, default.rooms_max),
        event_name_bytes_max: or(given.event_name_bytes_max, default.event_name_bytes_max),
        json_depth_max: or(given.json_depth_max, default.json_depth_max),
        attachments_max: or(given.attachments_max, default.attachments_max),
        attachments_time_ms: or(given.attachments_time_ms, default.attachments_time_ms),
        acks_owed_max: or(given.acks_owed_max, default.acks_owed_max),
        acks_awaited_max: or(given.acks_awaited_max, default.acks_awaited_max),
        outbound_bytes_max: or(given.outbound_bytes_max, default.outbound_bytes_max),
        outbound_packets_max: or(given.outbound_packets_max, default.outbound_packets_max),
        outbound_high_bytes: or(given.outbound_high_bytes, default.outbound_high_bytes),
        outbound_low_bytes: or(given.outbound_low_bytes, default.outbound_low_bytes),
    })
}

fn outbound_policy_of(value: u32) -> Outcome<OutboundPolicy> {
    match value {
        SOCKEYE_OUTBOUND_DISCONNECT => Ok(OutboundPolicy::Disconnect),
        SOCKEYE_OUTBOUND_DROP_NEWEST => Ok(OutboundPolicy::DropNewest),
        SOCKEYE_OUTBOUND_DROP_OLDEST => Ok(OutboundPolicy::DropOldest),
        SOCKEYE_OUTBOUND_CONFLATE => Ok(OutboundPolicy::Conflate),
        other => Err(Error::new(Code::Invalid, format!("limits.outbound_policy: {other} is no SOCKEYE_OUTBOUND_*"))),
    }
}

fn rate_policy_of(value: u32) -> Outcome<RatePolicy> {
    match value {
        SOCKEYE_RATE_DELAY => Ok(RatePolicy::Delay),
        SOCKEYE_RATE_DISCONNECT => Ok(RatePolicy::Disconnect),
        other => Err(Error::new(Code::Invalid, format!("limits.rate_policy: {other} is no SOCKEYE_RATE_*"))),
    }
}
