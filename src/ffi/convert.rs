//! The structs of the ABI, as the server takes them.

use std::borrow::Cow;
use std::ffi::c_char;

use super::boundary::*;
use super::constants::*;
use super::engine::sockeye_engine;
use super::types::*;
use crate::proto::json;
use crate::proto::socket_packet::RESERVED_EVENTS;
use crate::server::{Code, Emission, Error, Payload, Target, Wish};

/// The bits of an emission's flags.
const EMISSION_FLAGS: u32 = SOCKEYE_VOLATILE
    | SOCKEYE_COMPRESS_OFF
    | SOCKEYE_LOCAL
    | SOCKEYE_EXPECT_ACK
    | SOCKEYE_TRUST_JSON
    | SOCKEYE_PRIORITY;

/// A JSON array of arguments; none is the empty one. What the host vouches for is only looked at from both ends.
///
/// # Safety
/// `data` is NULL or valid for `len` bytes; if `trusted`, they are a JSON array in UTF-8.
pub unsafe fn arguments<'a>(data: *const c_char, len: usize, trusted: bool, what: &str) -> Outcome<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(data.cast(), len, what) }?;
    if let (true, [b'[', .., b']']) = (trusted, bytes) {
        // SAFETY: the caller's promise.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    // SAFETY: the caller's promise.
    let data = unsafe { text(data, len, what) }?;
    if data.is_empty() {
        return Ok("[]");
    }
    json::array(data).map_err(|error| Error::new(Code::BadJson, format!("{what} must be a JSON array: {error}")))?;
    Ok(json::trim(data))
}

/// Runs `run` with an emission, which borrows what this function makes of it.
///
/// # Safety
/// `emission` is NULL or valid, pointers inside included.
pub unsafe fn with_emission<T>(
    engine: &sockeye_engine,
    emission: *const sockeye_emission,
    run: impl FnOnce(&Emission<'_>) -> Outcome<T>,
) -> Outcome<T> {
    // SAFETY: the caller's promise.
    let given = unsafe { sized(emission, "emission") }?;
    if given.flags & !EMISSION_FLAGS != 0 {
        let text = format!("emission.flags has unknown bits: {:#x}", given.flags & !EMISSION_FLAGS);
        return Err(Error::new(Code::Invalid, text));
    }
    let wish;
    let wish = match is_plain(&given) {
        true => None,
        false => {
            // SAFETY: the caller's promise.
            let key = unsafe { bytes(given.key.cast(), given.key_len, "emission.key") }?;
            wish = Wish { ttl_ms: given.ttl_ms, key, priority: given.flags & SOCKEYE_PRIORITY != 0 };
            Some(&wish)
        }
    };
    // SAFETY: the caller's promise: a message that was not freed.
    if let Some(message) = unsafe { given.prepared.as_ref() } {
        return run(&emission_of(Payload::Prepared(message.prepared()), wish, &given));
    }
    // SAFETY: the caller's promise.
    unsafe {
        let args = arguments(given.data, given.data_len, given.flags & SOCKEYE_TRUST_JSON != 0, "emission.data")?;
        let name = name_of(engine, &given)?;
        with_bytes((given.attachments, given.attachment_count), "emission.attachments", |attachments| {
            run(&emission_of(Payload::Parts { name_json: &name, args, attachments }, wish, &given))
        })
    }
}

fn emission_of<'a>(payload: Payload<'a>, wish: Option<&'a Wish<'a>>, given: &sockeye_emission) -> Emission<'a> {
    let has = |flag: u32| given.flags & flag != 0;
    Emission {
        payload,
        volatile: has(SOCKEYE_VOLATILE),
        compress: !has(SOCKEYE_COMPRESS_OFF),
        ack_timeout_ms: has(SOCKEYE_EXPECT_ACK).then_some(given.timeout_ms),
        wish,
    }
}

/// Whether an emission wants nothing beyond being sent.
fn is_plain(given: &sockeye_emission) -> bool {
    given.ttl_ms == 0 && given.key_len == 0 && given.flags & SOCKEYE_PRIORITY == 0
}

/// Refuses wishes about waiting where they cannot be kept: they belong to the emission that sends an event.
pub fn check_plain(given: &sockeye_emission, what: &str) -> Outcome<()> {
    if is_plain(given) {
        return Ok(());
    }
    Err(Error::new(
        Code::Invalid,
        format!("{what} has no ttl_ms, key or SOCKEYE_PRIORITY: an emission of an event has"),
    ))
}

/// # Safety
/// The name's pointer is NULL or valid.
unsafe fn name_of<'a>(engine: &'a sockeye_engine, given: &sockeye_emission) -> Outcome<Cow<'a, str>> {
    if given.name != 0 {
        let atom = engine.server().atoms.get(given.name);
        let atom = atom.ok_or_else(|| Error::new(Code::Invalid, format!("there is no atom {}", given.name)))?;
        return if atom.reserved { Err(reserved(&atom.text)) } else { Ok(Cow::Borrowed(&*atom.json)) };
    }
    // SAFETY: the caller's promise.
    unsafe { quoted_name(given.name_ptr, given.name_len) }.map(Cow::Owned)
}

fn reserved(name: &str) -> Error {
    Error::new(Code::Invalid, format!("\"{name}\" is a reserved event name"))
}

/// The name of an event that is no reserved one, as a JSON string.
///
/// # Safety
/// `name` is NULL or valid for `len` bytes.
pub unsafe fn quoted_name(name: *const c_char, len: usize) -> Outcome<String> {
    if name.is_null() {
        return Err(Error::new(Code::Invalid, "the emission has neither a name nor a prepared message"));
    }
    // SAFETY: the caller's promise.
    let name = unsafe { text(name, len, "emission.name_ptr") }?;
    if RESERVED_EVENTS.contains(&name) {
        return Err(reserved(name));
    }
    let mut quoted = Vec::with_capacity(name.len() + 2);
    json::write_string(name, &mut quoted);
    String::from_utf8(quoted).map_err(|_| Error::new(Code::Internal, "a quoted name is not UTF-8"))
}

/// Runs `run` with a target and the id of its namespace.
///
/// # Safety
/// `target` is NULL or valid, pointers inside included.
pub unsafe fn with_target<T>(
    engine: &sockeye_engine,
    target: *const sockeye_target,
    run: impl FnOnce(u32, &Target<'_>) -> Outcome<T>,
) -> Outcome<T> {
    // SAFETY: the caller's promise.
    let given = unsafe { sized(target, "target") }?;
    if given.flags & !SOCKEYE_LOCAL != 0 {
        return Err(Error::new(Code::Invalid, format!("target.flags has unknown bits: {:#x}", given.flags)));
    }
    let nsp = match (given.nsp, given.from) {
        (0, 0) => {
            return Err(Error::new(Code::Invalid, "the target has neither a namespace nor a socket"));
        }
        (0, from) => engine.server().socket(from)?.nsp.id,
        (nsp, _) => nsp,
    };
    if engine.server().namespace_by_id(nsp).is_none() {
        return Err(Error::new(Code::Invalid, format!("there is no namespace {nsp}")));
    }
    let local = given.flags & SOCKEYE_LOCAL != 0;
    // SAFETY: the caller's promise.
    unsafe {
        with_texts((given.rooms, given.room_count), "target.rooms", |rooms| {
            with_texts((given.except, given.except_count), "target.except", |except| {
                run(nsp, &Target { from: given.from, rooms, except, local })
            })
        })
    }
}
