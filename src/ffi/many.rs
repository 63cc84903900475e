//! Many sockets, many servers.

use super::boundary::*;
use super::constants::*;
use super::convert::{with_emission, with_target};
use super::emit::with_outbox;
use super::engine::sockeye_engine;
use super::types::*;
use crate::server::{Code, Error};

/// Puts all that the target means into rooms. FULL: some would be in more than `limits.rooms_max` then, and have joined none; all others
/// have joined.
///
/// # Safety
/// `engine` is NULL or an engine; `target` is NULL or valid, pointers inside included; `rooms` is NULL or valid for `count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_sockets_join(
    engine: *mut sockeye_engine,
    target: *const sockeye_target,
    rooms: *const sockeye_bytes,
    count: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            with_texts((rooms, count), "rooms", |rooms| {
                with_target(engine, target, |nsp, target| {
                    with_outbox(|out| engine.server().sockets_join(nsp, target, rooms, out))
                })
            })?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Takes all that the target means out of rooms.
///
/// # Safety
/// As `sockeye_sockets_join`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_sockets_leave(
    engine: *mut sockeye_engine,
    target: *const sockeye_target,
    rooms: *const sockeye_bytes,
    count: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            with_texts((rooms, count), "rooms", |rooms| {
                with_target(engine, target, |nsp, target| {
                    with_outbox(|out| engine.server().sockets_leave(nsp, target, rooms, out))
                })
            })?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Disconnects all that the target means, with `SOCKEYE_CLOSE_TRANSPORT` their connections.
///
/// # Safety
/// `engine` is NULL or an engine; `target` is NULL or valid, pointers inside included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_sockets_disconnect(
    engine: *mut sockeye_engine,
    target: *const sockeye_target,
    flags: u32,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            if flags & !SOCKEYE_CLOSE_TRANSPORT != 0 {
                return Err(Error::new(Code::Invalid, format!("flags has unknown bits: {flags:#x}")));
            }
            let close = flags & SOCKEYE_CLOSE_TRANSPORT != 0;
            with_target(engine, target, |nsp, target| engine.server().sockets_disconnect(nsp, target, close))?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Lists all that the target means; `*token_out` is the token of the SOCKETS event that brings the list. UNSUPPORTED for a pattern.
///
/// # Safety
/// `engine` is NULL or an engine; `target` is NULL or valid, pointers inside included; `token_out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_sockets_fetch(
    engine: *mut sockeye_engine,
    target: *const sockeye_target,
    token_out: *mut sockeye_token,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let out = place(token_out, "token_out")?;
            *out =
                with_target(engine, target, |nsp, target| with_outbox(|out| engine.server().fetch(nsp, target, out)))?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Emits to the other servers of the cluster; with `SOCKEYE_EXPECT_ACK`, `*ack_out` is the token of the SERVER_ACK events that bring
/// their replies. A server alone has no others, and completes at once.
///
/// # Safety
/// `engine` is NULL or an engine; `emission` is NULL or valid, pointers inside included; `ack_out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_server_emit(
    engine: *mut sockeye_engine,
    nsp: sockeye_nsp,
    emission: *const sockeye_emission,
    ack_out: *mut sockeye_token,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let token = with_emission(engine, emission, |emission| {
                let wants_ack = emission.ack_timeout_ms.is_some();
                if wants_ack && ack_out.is_null() {
                    return Err(null("ack_out"));
                }
                with_outbox(|out| engine.server().server_emit(nsp, emission, out))
            })?;
            if let Some(out) = ack_out.as_mut() {
                *out = token.unwrap_or(0);
            }
            Ok(SOCKEYE_OK)
        })
    }
}

/// Counts the servers of the cluster; `*token_out` is the token of the SERVER_ACK event whose data is `{"count":n}`.
///
/// # Safety
/// `engine` is NULL or an engine; `token_out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_server_count(
    engine: *mut sockeye_engine,
    nsp: sockeye_nsp,
    token_out: *mut sockeye_token,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let out = place(token_out, "token_out")?;
            *out = with_outbox(|out| engine.server().server_count(nsp, out))?;
            Ok(SOCKEYE_OK)
        })
    }
}
