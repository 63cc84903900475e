//! One socket: what it is, its rooms, its end.

use std::ffi::c_char;

use super::boundary::*;
use super::constants::*;
use super::emit::with_outbox;
use super::engine::sockeye_engine;
use super::events::sockeye_buffer;
use super::types::*;
use crate::proto::json;
use crate::server::{Code, Error, State, write_strings};

/// Bytes of a socket's data: what travels with every fetch should be small.
const DATA_MAX: usize = 1 << 20;

/// What a socket is now. `size` is `sizeof(sockeye_socket_info)`.
///
/// # Safety
/// `engine` is NULL or an engine; `out` is NULL or valid for writing `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_socket_get_info(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    out: *mut sockeye_socket_info,
    size: u32,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let socket = engine.server().socket(socket)?;
            let level = socket.client.outbound(|out| out.level());
            let mut id = [0; 24];
            for (to, from) in id.iter_mut().zip(socket.sid.as_str().bytes()) {
                *to = from as c_char;
            }
            let info = sockeye_socket_info {
                size,
                nsp: socket.nsp.id,
                transport: socket.client.transport() as u32,
                protocol: socket.client.revision,
                connected: u32::from(socket.state() == State::Connected),
                room_count: socket.room_count() as u32,
                user: socket.user(),
                buffered_bytes: level.bytes as u64,
                id,
                buffered_packets: level.packets.into(),
            };
            write_sized(out, size as usize, &info, "out")?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Gives JSON that `write` makes.
///
/// # Safety
/// `engine` is NULL or an engine; `out` is NULL or valid for writing.
unsafe fn give_json(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    out: *mut *mut sockeye_buffer,
    write: impl FnOnce(&crate::server::Socket, &mut Vec<u8>),
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let out = place(out, "out")?;
            let socket = engine.server().socket(socket)?;
            let mut json = Vec::new();
            write(&socket, &mut json);
            *out = sockeye_buffer::give(json);
            Ok(SOCKEYE_OK)
        })
    }
}

/// The handshake as JSON: headers, url, query, xdomain, time, address, secure, issued, auth. `*out` is to be freed with
/// `sockeye_buffer_free`.
///
/// # Safety
/// `engine` is NULL or an engine; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_socket_handshake(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    out: *mut *mut sockeye_buffer,
) -> sockeye_result {
    let write = |socket: &crate::server::Socket, json: &mut Vec<u8>| {
        socket.client.handshake.write_json(socket.auth.as_deref(), json);
    };
    // SAFETY: the caller's promises.
    unsafe { give_json(engine, socket, out, write) }
}

/// Sets the value that comes with each event of the socket from now on.
///
/// # Safety
/// `engine` is NULL or an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_socket_set_user(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    user: u64,
) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_engine(engine, |engine| {
            engine.server().socket(socket)?.set_user(user);
            Ok(SOCKEYE_OK)
        })
    }
}

/// Sets the socket's `data`, any JSON: what other servers see of it when they fetch.
///
/// # Safety
/// `engine` is NULL or an engine; `json` is NULL or valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_socket_set_data(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    json: *const c_char,
    len: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let data = text(json, len, "json")?;
            if data.len() > DATA_MAX {
                let text = format!("json has {} bytes; the limit is {DATA_MAX}", data.len());
                return Err(Error::new(Code::TooBig, text));
            }
            json::validate(data).map_err(|error| Error::new(Code::BadJson, format!("json: {error}")))?;
            engine.server().socket(socket)?.set_data(json::trim(data));
            Ok(SOCKEYE_OK)
        })
    }
}

/// The socket's `data` as JSON; `{}` if none was set. `*out` is to be freed with `sockeye_buffer_free`.
///
/// # Safety
/// `engine` is NULL or an engine; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_socket_data(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    out: *mut *mut sockeye_buffer,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe { give_json(engine, socket, out, |socket, json| socket.write_data(json)) }
}

/// Puts a socket into rooms; when the call returns, emissions to them reach it. FULL: it would be in more than `limits.rooms_max` then,
/// and has joined none.
///
/// # Safety
/// `engine` is NULL or an engine; `rooms` is NULL or valid for `count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_socket_join(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    rooms: *const sockeye_bytes,
    count: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            with_texts((rooms, count), "rooms", |rooms| with_outbox(|out| engine.server().join(socket, rooms, out)))?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Takes a socket out of rooms. Rooms that it is not in are ignored.
///
/// # Safety
/// `engine` is NULL or an engine; `rooms` is NULL or valid for `count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_socket_leave(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    rooms: *const sockeye_bytes,
    count: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            with_texts((rooms, count), "rooms", |rooms| with_outbox(|out| engine.server().leave(socket, rooms, out)))?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// The rooms that a socket is in, its own first, as a JSON array. `*out` is to be freed with `sockeye_buffer_free`.
///
/// # Safety
/// `engine` is NULL or an engine; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_socket_rooms(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    out: *mut *mut sockeye_buffer,
) -> sockeye_result {
    let write = |socket: &crate::server::Socket, json: &mut Vec<u8>| {
        write_strings(socket.rooms().iter().map(|room| &**room), json);
    };
    // SAFETY: the caller's promises.
    unsafe { give_json(engine, socket, out, write) }
}

/// Disconnects a socket from its namespace; with `SOCKEYE_CLOSE_TRANSPORT` all of its connection's; with `SOCKEYE_CLOSE_SILENT` the
/// connection is closed without a DISCONNECT packet. Its DISCONNECT event follows. A socket that waits for admission is rejected by
/// its token instead.
///
/// # Safety
/// `engine` is NULL or an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_socket_disconnect(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    flags: u32,
) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_engine(engine, |engine| {
            disconnect(engine, socket, flags)?;
            Ok(SOCKEYE_OK)
        })
    }
}

pub(super) fn disconnect(engine: &sockeye_engine, socket: sockeye_socket, flags: u32) -> Outcome<()> {
    if flags & !(SOCKEYE_CLOSE_TRANSPORT | SOCKEYE_CLOSE_SILENT) != 0 {
        return Err(Error::new(Code::Invalid, format!("flags has unknown bits: {flags:#x}")));
    }
    let (close, silent) = (flags & SOCKEYE_CLOSE_TRANSPORT != 0, flags & SOCKEYE_CLOSE_SILENT != 0);
    engine.server().disconnect(socket, close, silent)
}
