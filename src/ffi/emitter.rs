//! Emitters: a program speaks to the clients of a cluster, and is none of its servers.

use std::ffi::c_char;
use std::time::Duration;

use super::boundary::*;
use super::constants::*;
use super::convert::{arguments, quoted_name};
use super::events::sockeye_buffer;
use super::types::*;
use crate::cluster::{self, Address, Emitter};
use crate::server::{Code, Emission, Error, Payload};
use crate::sys;

/// What an emitter that was not closed may spend on what waits when it is freed.
const FREE_GRACE: Duration = Duration::from_secs(1);

/// The bits of an emission's flags that mean something here.
const EMISSION_FLAGS: u32 = SOCKEYE_VOLATILE | SOCKEYE_COMPRESS_OFF | SOCKEYE_TRUST_JSON;

/// A connection to the broker of a cluster, and a queue of what is to be said.
pub struct sockeye_emitter {
    emitter: Emitter,
    /// `sys::forks` when it was made.
    forks: usize,
}

/// Whom an emitter means: the sockets of a namespace, on all servers, in any of `rooms` and none of `except`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_emitter_target {
    pub size: u32,
    /// None yet.
    pub flags: u32,
    /// The namespace's name; NULL is `/`.
    pub nsp: *const c_char,
    pub nsp_len: usize,
    /// None is the whole namespace.
    pub rooms: *const sockeye_bytes,
    pub room_count: usize,
    pub except: *const sockeye_bytes,
    pub except_count: usize,
}

/// What has become of an emitter's messages; see `sockeye_emitter_get_state`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_emitter_state {
    pub size: u32,
    /// 1 while the broker is reached.
    pub up: u32,
    /// Messages that wait for the broker.
    pub waiting: u64,
    /// Bytes of these.
    pub waiting_bytes: u64,
    /// Messages that the broker has taken.
    pub published: u64,
    /// Messages that may be lost: they were on their way when the connection broke.
    pub unconfirmed: u64,
    /// Messages that are lost: they were FULL, the broker refused them, or the emitter ended before they were sent.
    pub dropped: u64,
    /// Times that the broker was lost, or not reached.
    pub downs: u64,
}

/// As `on_engine`, for a function on an emitter.
///
/// # Safety
/// `emitter` is NULL or was given by `sockeye_emitter_open` and not freed.
unsafe fn on_emitter(emitter: *const sockeye_emitter, run: impl FnOnce(&Emitter) -> Outcome<i32>) -> sockeye_result {
    // SAFETY: the caller's promise.
    let Some(emitter) = (unsafe { emitter.as_ref() }) else { return guard(|| Err(null("emitter"))) };
    if emitter.forks != sys::forks() {
        return forked("emitter");
    }
    guard(|| run(&emitter.emitter))
}

/// Runs `run` with a target.
///
/// # Safety
/// `target` is NULL or valid, pointers inside included.
unsafe fn with_address<T>(
    target: *const sockeye_emitter_target,
    run: impl FnOnce(&Address<'_>) -> Outcome<T>,
) -> Outcome<T> {
    // SAFETY: the caller's promises.
    unsafe {
        let given = sized(target, "target")?;
        if given.flags != 0 {
            return Err(Error::new(Code::Invalid, format!("target.flags has unknown bits: {:#x}", given.flags)));
        }
        let nsp = namespace_of(text(given.nsp, given.nsp_len, "target.nsp")?);
        with_texts((given.rooms, given.room_count), "target.rooms", |rooms| {
            with_texts((given.except, given.except_count), "target.except", |except| {
                run(&Address { nsp: &nsp, rooms, except })
            })
        })
    }
}

/// The name of a namespace, as programs may write it.
fn namespace_of(name: &str) -> std::borrow::Cow<'_, str> {
    if name.starts_with('/') { name.into() } else { format!("/{name}").into() }
}

/// Runs `run` with an emission of which an emitter can do everything.
///
/// # Safety
/// `emission` is NULL or valid, pointers inside included.
unsafe fn with_event(
    emission: *const sockeye_emission,
    run: impl FnOnce(&Emission<'_>) -> Outcome<()>,
) -> Outcome<i32> {
    // SAFETY: the caller's promises.
    unsafe {
        let given = sized(emission, "emission")?;
        let has = |flag: u32| given.flags & flag != 0;
        let invalid = |text: String| Err(Error::new(Code::Invalid, text));
        if given.flags & !EMISSION_FLAGS != 0 {
            let unknown = given.flags & !EMISSION_FLAGS;
            return invalid(format!("emission.flags has bits that mean nothing to an emitter: {unknown:#x}"));
        }
        if given.name != 0 || !given.prepared.is_null() {
            return invalid("interned names and prepared messages are an engine's; give emission.name_ptr".to_owned());
        }
        if given.ttl_ms != 0 || given.key_len != 0 {
            return invalid("emission.ttl_ms and emission.key concern the clients of one server only".to_owned());
        }
        let name_json = quoted_name(given.name_ptr, given.name_len)?;
        let args = arguments(given.data, given.data_len, has(SOCKEYE_TRUST_JSON), "emission.data")?;
        with_bytes((given.attachments, given.attachment_count), "emission.attachments", |attachments| {
            let payload = Payload::Parts { name_json: &name_json, args, attachments };
            let (volatile, compress) = (has(SOCKEYE_VOLATILE), !has(SOCKEYE_COMPRESS_OFF));
            run(&Emission { payload, volatile, compress, ack_timeout_ms: None, wish: None })
        })?;
        Ok(SOCKEYE_OK)
    }
}

/// Makes an emitter: `kind` and the options in `json` are as for `sockeye_engine_set_adapter`, and the same as the servers' have; those about
/// answers mean nothing here. Returns at once; the broker is reached later, and what is said meanwhile waits, up to `publishQueueBytes`.
/// On success `*out` is to be freed with `sockeye_emitter_free`. Every function on it may be called from any thread, and none but `sockeye_emitter_flush`
/// and `sockeye_emitter_free` waits. INVALID names the option that is wrong, and never shows the URL; UNSUPPORTED: a kind that this build does not have.
///
/// # Safety
/// The texts are NULL or valid for their lengths; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_open(
    kind: *const c_char,
    len: usize,
    json: *const c_char,
    json_len: usize,
    out: *mut *mut sockeye_emitter,
) -> sockeye_result {
    guard(|| {
        // SAFETY: the caller's promises.
        let (out, kind, json) =
            unsafe { (place(out, "out")?, text(kind, len, "kind")?, text(json, json_len, "json")?) };
        sys::count_forks();
        let emitter = cluster::open_emitter(kind, json)?;
        *out = Box::into_raw(Box::new(sockeye_emitter { emitter, forks: sys::forks() }));
        Ok(SOCKEYE_OK)
    })
}

/// Emits to all that the target means, on all servers. Of the emission's flags there are `SOCKEYE_VOLATILE`, `SOCKEYE_COMPRESS_OFF` and
/// `SOCKEYE_TRUST_JSON`; its name is `name_ptr`; nobody acknowledges. FULL: too much waits for the broker, and this was dropped.
///
/// # Safety
/// `emitter` is NULL or an emitter; `target` and `emission` are NULL or valid, pointers inside included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_emit(
    emitter: *mut sockeye_emitter,
    target: *const sockeye_emitter_target,
    emission: *const sockeye_emission,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_emitter(emitter, |emitter| {
            with_address(target, |to| with_event(emission, |emission| emitter.emit(to, emission)))
        })
    }
}

/// Puts all that the target means into rooms. FULL as in `sockeye_emitter_emit`.
///
/// # Safety
/// `emitter` is NULL or an emitter; `target` is NULL or valid, pointers inside included; `rooms` is NULL or valid for `count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_join(
    emitter: *mut sockeye_emitter,
    target: *const sockeye_emitter_target,
    rooms: *const sockeye_bytes,
    count: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_emitter(emitter, |emitter| {
            with_texts((rooms, count), "rooms", |rooms| with_address(target, |to| emitter.join(to, rooms)))?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Takes all that the target means out of rooms. FULL as in `sockeye_emitter_emit`.
///
/// # Safety
/// As `sockeye_emitter_join`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_leave(
    emitter: *mut sockeye_emitter,
    target: *const sockeye_emitter_target,
    rooms: *const sockeye_bytes,
    count: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_emitter(emitter, |emitter| {
            with_texts((rooms, count), "rooms", |rooms| with_address(target, |to| emitter.leave(to, rooms)))?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Disconnects all that the target means, with `SOCKEYE_CLOSE_TRANSPORT` their connections. FULL as in `sockeye_emitter_emit`.
///
/// # Safety
/// `emitter` is NULL or an emitter; `target` is NULL or valid, pointers inside included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_disconnect(
    emitter: *mut sockeye_emitter,
    target: *const sockeye_emitter_target,
    flags: u32,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_emitter(emitter, |emitter| {
            if flags & !SOCKEYE_CLOSE_TRANSPORT != 0 {
                return Err(Error::new(Code::Invalid, format!("flags has unknown bits: {flags:#x}")));
            }
            with_address(target, |to| emitter.disconnect(to, flags & SOCKEYE_CLOSE_TRANSPORT != 0))?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Emits to the servers, each of which is told in a SERVER_MESSAGE (or `serverSideEmit`'s event); `nsp` NULL is `/`. FULL as in
/// `sockeye_emitter_emit`.
///
/// # Safety
/// `emitter` is NULL or an emitter; `nsp` is NULL or valid for `len` bytes; `emission` is NULL or valid, pointers inside included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_server_emit(
    emitter: *mut sockeye_emitter,
    nsp: *const c_char,
    len: usize,
    emission: *const sockeye_emission,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_emitter(emitter, |emitter| {
            let nsp = namespace_of(text(nsp, len, "nsp")?);
            with_event(emission, |emission| emitter.server_emit(&nsp, emission))
        })
    }
}

/// Waits until the broker has taken what was said before. TIMEOUT: not in so many milliseconds; it goes on. IO: some was on its way when
/// the connection broke and may be lost, or was refused by the broker. CLOSED: the emitter ended before all was sent.
///
/// # Safety
/// `emitter` is NULL or an emitter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_flush(emitter: *mut sockeye_emitter, timeout_ms: u32) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_emitter(emitter, |emitter| {
            emitter.flush(Duration::from_millis(timeout_ms.into()))?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Fills `state`, whose `size` says how much of it the host knows.
///
/// # Safety
/// `emitter` is NULL or an emitter; `state` is NULL or valid for as many bytes as its `size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_get_state(
    emitter: *mut sockeye_emitter,
    state: *mut sockeye_emitter_state,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_emitter(emitter, |emitter| {
            let size = state.cast::<u32>().as_ref().ok_or_else(|| null("state"))?;
            let (progress, (messages, bytes)) = (emitter.progress(), emitter.waiting());
            let value = sockeye_emitter_state {
                size: *size,
                up: progress.is_up.into(),
                waiting: messages as u64,
                waiting_bytes: bytes as u64,
                published: progress.published,
                unconfirmed: progress.unconfirmed,
                dropped: progress.dropped,
                downs: progress.downs,
            };
            write_sized(state, *size as usize, &value, "state")?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Why the broker was last lost or could not be reached; empty if it always was. It shows no password. `*out` is to be freed with
/// `sockeye_buffer_free`.
///
/// # Safety
/// `emitter` is NULL or an emitter; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_error(
    emitter: *mut sockeye_emitter,
    out: *mut *mut sockeye_buffer,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_emitter(emitter, |emitter| {
            let out = place(out, "out")?;
            *out = sockeye_buffer::give(emitter.reason().into_bytes());
            Ok(SOCKEYE_OK)
        })
    }
}

/// Takes no more (CLOSED), and publishes what waits, for at most `grace_ms`. Returns at once. CLOSED if it was called before.
///
/// # Safety
/// `emitter` is NULL or an emitter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_close(emitter: *mut sockeye_emitter, grace_ms: u32) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_emitter(emitter, |emitter| match emitter.close(Duration::from_millis(grace_ms.into())) {
            true => Ok(SOCKEYE_OK),
            false => Err(Error::new(Code::Closed, "the emitter is closing already")),
        })
    }
}

/// Closes, with a grace of one second, unless `sockeye_emitter_close` did, waits for the emitter's thread, and frees it. NULL is allowed. In a child
/// of the process that made it: FORKED, and nothing is freed.
///
/// # Safety
/// `emitter` is NULL or an emitter, which nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emitter_free(emitter: *mut sockeye_emitter) -> sockeye_result {
    if emitter.is_null() {
        return SOCKEYE_OK;
    }
    // SAFETY: the caller's promise.
    let freeable = unsafe {
        on_emitter(emitter, |emitter| {
            emitter.end(FREE_GRACE);
            Ok(SOCKEYE_OK)
        })
    };
    if freeable == SOCKEYE_OK {
        // SAFETY: made by `sockeye_emitter_open`; by the caller's promise nobody uses it.
        drop(unsafe { Box::from_raw(emitter) });
    }
    freeable
}
