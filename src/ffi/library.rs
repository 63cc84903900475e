//! The library itself: versions, sizes, errors.

use std::ffi::c_char;

use super::boundary::last_error;
use super::broker::sockeye_broker;
use super::constants::*;
use super::emitter::{sockeye_emitter_state, sockeye_emitter_target};
use super::takeover::{sockeye_connection, sockeye_header, sockeye_http_answer, sockeye_http_request};
use super::types::*;

/// Version of the running library: 0xMMmmpp.
#[unsafe(no_mangle)]
pub extern "C" fn sockeye_version() -> u32 {
    let number = |text: &str| text.bytes().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    let (major, minor, patch) =
        (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH"));
    number(major) << 16 | number(minor) << 8 | number(patch)
}

/// `SOCKEYE_ABI` of the running library.
#[unsafe(no_mangle)]
pub extern "C" fn sockeye_abi() -> u32 {
    SOCKEYE_ABI
}

/// Size in bytes of a struct (`SOCKEYE_STRUCT_*`) in the running library, for bindings that mirror it; 0 if unknown.
#[unsafe(no_mangle)]
pub extern "C" fn sockeye_struct_size(which: u32) -> usize {
    match which {
        SOCKEYE_STRUCT_EVENT => size_of::<sockeye_event>(),
        SOCKEYE_STRUCT_OPTIONS => size_of::<sockeye_options>(),
        SOCKEYE_STRUCT_EMISSION => size_of::<sockeye_emission>(),
        SOCKEYE_STRUCT_TARGET => size_of::<sockeye_target>(),
        SOCKEYE_STRUCT_OP => size_of::<sockeye_op>(),
        SOCKEYE_STRUCT_SOCKET_INFO => size_of::<sockeye_socket_info>(),
        SOCKEYE_STRUCT_QUEUE_OPTIONS => size_of::<sockeye_queue_options>(),
        SOCKEYE_STRUCT_NSP_OPTIONS => size_of::<sockeye_nsp_options>(),
        SOCKEYE_STRUCT_PACKED => size_of::<sockeye_packed>(),
        SOCKEYE_STRUCT_LIMITS => size_of::<sockeye_limits>(),
        SOCKEYE_STRUCT_METRICS => size_of::<sockeye_metrics>(),
        SOCKEYE_STRUCT_QUEUE_METRICS => size_of::<sockeye_queue_metrics>(),
        SOCKEYE_STRUCT_DRAIN_OPTIONS => size_of::<sockeye_drain_options>(),
        SOCKEYE_STRUCT_CONNECTION => size_of::<sockeye_connection>(),
        SOCKEYE_STRUCT_HEADER => size_of::<sockeye_header>(),
        SOCKEYE_STRUCT_HTTP_REQUEST => size_of::<sockeye_http_request>(),
        SOCKEYE_STRUCT_HTTP_ANSWER => size_of::<sockeye_http_answer>(),
        SOCKEYE_STRUCT_EMITTER_TARGET => size_of::<sockeye_emitter_target>(),
        SOCKEYE_STRUCT_EMITTER_STATE => size_of::<sockeye_emitter_state>(),
        SOCKEYE_STRUCT_BROKER => size_of::<sockeye_broker>(),
        _ => 0,
    }
}

/// Name of a result code, such as "SOCKEYE_ERR_STALE"; static.
#[unsafe(no_mangle)]
pub extern "C" fn sockeye_error_name(code: sockeye_result) -> *const c_char {
    let name = match code {
        SOCKEYE_OK.. => c"SOCKEYE_OK",
        SOCKEYE_ERR_INVALID => c"SOCKEYE_ERR_INVALID",
        SOCKEYE_ERR_STALE => c"SOCKEYE_ERR_STALE",
        SOCKEYE_ERR_GONE => c"SOCKEYE_ERR_GONE",
        SOCKEYE_ERR_CLOSED => c"SOCKEYE_ERR_CLOSED",
        SOCKEYE_ERR_FULL => c"SOCKEYE_ERR_FULL",
        SOCKEYE_ERR_TOO_BIG => c"SOCKEYE_ERR_TOO_BIG",
        SOCKEYE_ERR_TIMEOUT => c"SOCKEYE_ERR_TIMEOUT",
        SOCKEYE_ERR_BAD_JSON => c"SOCKEYE_ERR_BAD_JSON",
        SOCKEYE_ERR_BAD_UTF8 => c"SOCKEYE_ERR_BAD_UTF8",
        SOCKEYE_ERR_ADDR => c"SOCKEYE_ERR_ADDR",
        SOCKEYE_ERR_IO => c"SOCKEYE_ERR_IO",
        SOCKEYE_ERR_TLS => c"SOCKEYE_ERR_TLS",
        SOCKEYE_ERR_UNSUPPORTED => c"SOCKEYE_ERR_UNSUPPORTED",
        SOCKEYE_ERR_VERSION => c"SOCKEYE_ERR_VERSION",
        SOCKEYE_ERR_DEADLOCK => c"SOCKEYE_ERR_DEADLOCK",
        SOCKEYE_ERR_FORKED => c"SOCKEYE_ERR_FORKED",
        SOCKEYE_ERR_PANIC => c"SOCKEYE_ERR_PANIC",
        SOCKEYE_ERR_INTERNAL => c"SOCKEYE_ERR_INTERNAL",
        _ => c"unknown",
    };
    name.as_ptr()
}

/// Why this thread's last failed call failed: what was wrong, where, and the limit if one was passed. Valid until its next failure.
#[unsafe(no_mangle)]
pub extern "C" fn sockeye_last_error() -> *const c_char {
    last_error()
}
