//! Names and namespaces, and who may join them.

use std::ffi::c_char;

use regex_lite::Regex;

use super::boundary::*;
use super::constants::*;
use super::engine::sockeye_engine;
use super::events::sockeye_buffer;
use super::types::*;
use crate::net::http::HeaderLines;
use crate::proto::json;
use crate::server::{Code, Decision, Error, Flags, write_strings};

/// Interns a name: events then carry its number, which a host can switch on, and emissions by it cost less. The same name always
/// has the same number. FULL beyond 65536 names.
///
/// # Safety
/// `engine` is NULL or an engine; `text` is NULL or valid for `len` bytes; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_atom_of(
    engine: *mut sockeye_engine,
    name: *const c_char,
    len: usize,
    out: *mut sockeye_atom,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let (out, name) = (place(out, "out")?, text(name, len, "name")?);
            let atom = engine.server().atoms.intern(name);
            *out = atom.ok_or_else(|| Error::new(Code::Full, "65536 names are interned; intern names, not data"))?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// The name of an atom, and its length if `len_out` is not NULL; lives as long as the engine. NULL if there is none.
///
/// # Safety
/// `engine` is NULL or an engine; `len_out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_atom_text(
    engine: *mut sockeye_engine,
    atom: sockeye_atom,
    len_out: *mut usize,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let found = unsafe { usable(engine) }.and_then(|engine| engine.server().atoms.get(atom));
    // Atoms are never taken out of their table, so the text outlives this reference to it.
    let (text, len) = found.map_or((std::ptr::null(), 0), |atom| (atom.text.as_ptr(), atom.text.len()));
    // SAFETY: the caller's promise.
    if let Some(out) = unsafe { len_out.as_mut() } {
        *out = len;
    }
    text.cast()
}

/// # Safety
/// `options` is NULL or valid.
unsafe fn nsp_options(
    engine: &sockeye_engine,
    options: *const sockeye_nsp_options,
) -> Outcome<(Flags, std::sync::Arc<crate::queue::Queue>)> {
    if options.is_null() {
        return Ok((Flags::default(), engine.queue(std::ptr::null())?));
    }
    // SAFETY: the caller's promise.
    let given = unsafe { sized(options, "options") }?;
    let unknown = given.flags & !(SOCKEYE_NSP_AUTHORIZE | SOCKEYE_NSP_ROOM_EVENTS | SOCKEYE_NSP_ASK);
    if unknown != 0 {
        return Err(Error::new(Code::Invalid, format!("options.flags has unknown bits: {unknown:#x}")));
    }
    let flags = Flags {
        authorize: given.flags & SOCKEYE_NSP_AUTHORIZE != 0,
        room_events: given.flags & SOCKEYE_NSP_ROOM_EVENTS != 0,
        ask: given.flags & SOCKEYE_NSP_ASK != 0,
    };
    Ok((flags, engine.queue(given.queue)?))
}

/// Makes a namespace (a missing first `/` is added), or changes one that has no sockets yet; `/` is there from the start. `options` and
/// `out` may be NULL. Clients of names that were not made, and match no pattern, are told `Invalid namespace`.
///
/// # Safety
/// `engine` is NULL or an engine; `name` is NULL or valid for `len` bytes; `options` is NULL or valid; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_namespace(
    engine: *mut sockeye_engine,
    name: *const c_char,
    len: usize,
    options: *const sockeye_nsp_options,
    out: *mut sockeye_nsp,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let name = text(name, len, "name")?;
            let (flags, queue) = nsp_options(engine, options)?;
            if flags.ask {
                return Err(Error::new(Code::Invalid, "SOCKEYE_NSP_ASK is for patterns"));
            }
            if name.contains(',') {
                return Err(Error::new(
                    Code::Invalid,
                    "a namespace's name cannot hold a comma: the protocol ends it there",
                ));
            }
            let id = engine.server().define(name, flags, queue)?;
            if let Some(out) = out.as_mut() {
                *out = id;
            }
            Ok(SOCKEYE_OK)
        })
    }
}

/// Makes a pattern: a client's CONNECT to a name that it matches makes that namespace (NAMESPACE event), with these options; with
/// `SOCKEYE_NSP_ASK` only if the host agrees. Patterns are tried in the order in which they were made. The expression matches anywhere
/// in the name unless it is anchored; NULL matches every name. A target with the pattern's id means all of its namespaces. They stay, unless
/// `SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN` has them end with their last socket.
///
/// # Safety
/// As `sockeye_namespace`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_namespace_pattern(
    engine: *mut sockeye_engine,
    regex: *const c_char,
    len: usize,
    options: *const sockeye_nsp_options,
    out: *mut sockeye_nsp,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let expression = text(regex, len, "regex")?;
            let (flags, queue) = nsp_options(engine, options)?;
            let regex = match expression {
                "" => None,
                expression => Some(Regex::new(expression).map_err(|error| {
                    Error::new(Code::Invalid, format!("{expression:?} is no regular expression: {error}"))
                })?),
            };
            let id = engine.server().define_pattern(regex, flags, queue)?;
            if let Some(out) = out.as_mut() {
                *out = id;
            }
            Ok(SOCKEYE_OK)
        })
    }
}

/// The name of a namespace; empty for a pattern. `*out` is to be freed with `sockeye_buffer_free`.
///
/// # Safety
/// `engine` is NULL or an engine; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_namespace_name(
    engine: *mut sockeye_engine,
    nsp: sockeye_nsp,
    out: *mut *mut sockeye_buffer,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let out = place(out, "out")?;
            *out = sockeye_buffer::give(namespace(engine, nsp)?.name.as_bytes().to_vec());
            Ok(SOCKEYE_OK)
        })
    }
}

/// The rooms of a namespace that have members on this server, the sockets' own included, as a JSON array. `*out` is to be freed with
/// `sockeye_buffer_free`.
///
/// # Safety
/// `engine` is NULL or an engine; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_namespace_rooms(
    engine: *mut sockeye_engine,
    nsp: sockeye_nsp,
    out: *mut *mut sockeye_buffer,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let out = place(out, "out")?;
            let rooms = namespace(engine, nsp)?.rooms();
            let mut json = Vec::new();
            write_strings(rooms.iter().map(|room| &**room), &mut json);
            *out = sockeye_buffer::give(json);
            Ok(SOCKEYE_OK)
        })
    }
}

fn namespace(engine: &sockeye_engine, nsp: sockeye_nsp) -> Outcome<std::sync::Arc<crate::server::Namespace>> {
    let found = engine.server().namespace_by_id(nsp);
    found.ok_or_else(|| Error::new(Code::Invalid, format!("there is no namespace {nsp}")))
}

/// Accepts what an HTTP_REQUEST, NAMESPACE_REQUEST or AUTHORIZE event asked. AUTHORIZE: `user` becomes the socket's value.
/// HTTP_REQUEST: `data` may be `{"headers":{"name":"value"}}`, for the first answer of the session. STALE: answered, expired, or left.
///
/// # Safety
/// `engine` is NULL or an engine; `data` is NULL or valid for `data_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_accept(
    engine: *mut sockeye_engine,
    token: sockeye_token,
    user: u64,
    data: *const c_char,
    data_len: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let data = text(data, data_len, "data")?;
            if !data.is_empty() {
                json::object(data)
                    .map_err(|error| Error::new(Code::BadJson, format!("data must be a JSON object: {error}")))?;
                let headers = json::get(data, "/headers").ok().flatten().unwrap_or("{}");
                HeaderLines::from_json(headers).map_err(|error| Error::new(Code::Invalid, format!("data: {error}")))?;
            }
            let data = (!data.is_empty()).then(|| data.into());
            engine.server().decide(token, Decision::Accept { user, data })?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Refuses what such an event asked. The client gets `message`, and for AUTHORIZE `data` (JSON), as `connect_error`; NULL leaves either
/// out. A namespace is refused as `Invalid namespace`, a handshake with 403 and `message` (`Forbidden` if NULL).
///
/// # Safety
/// `engine` is NULL or an engine; the texts are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_reject(
    engine: *mut sockeye_engine,
    token: sockeye_token,
    message: *const c_char,
    message_len: usize,
    data: *const c_char,
    data_len: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let (given, data) = (text(message, message_len, "message")?, text(data, data_len, "data")?);
            if !data.is_empty() {
                json::validate(data)
                    .map_err(|error| Error::new(Code::BadJson, format!("data must be JSON: {error}")))?;
            }
            let message = (!message.is_null()).then(|| given.into());
            let data = (!data.is_empty()).then(|| data.into());
            engine.server().decide(token, Decision::Reject { message, data })?;
            Ok(SOCKEYE_OK)
        })
    }
}
