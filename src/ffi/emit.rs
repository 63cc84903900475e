//! Sending: to one socket, to many, and a whole tick of operations at once.

use std::ffi::{c_char, c_void};

use super::boundary::*;
use super::constants::*;
use super::convert::{arguments, check_plain, with_emission, with_target};
use super::engine::sockeye_engine;
use super::types::*;
use crate::queue::Outbox;
use crate::server::{Code, Emission, Encoded, Error, Payload, Prepared, Target, cork};

/// A message that was encoded once, for any number of emissions in one namespace. It belongs to the host and to no engine's life.
pub struct sockeye_message(Prepared);

impl sockeye_message {
    pub(super) fn prepared(&self) -> &Prepared {
        &self.0
    }
}

/// Writes a token that an operation may have given.
///
/// # Safety
/// `out` is NULL or valid for writing.
unsafe fn write_token(out: *mut sockeye_token, token: Option<u64>) {
    // SAFETY: the caller's promise.
    if let Some(out) = unsafe { out.as_mut() } {
        *out = token.unwrap_or(0);
    }
}

/// With an acknowledgement, somebody must be there to take its token.
fn check_ack(emission: &Emission<'_>, out: *mut sockeye_token) -> Outcome<()> {
    if emission.ack_timeout_ms.is_some() && out.is_null() {
        return Err(Error::new(Code::Invalid, "SOCKEYE_EXPECT_ACK needs a place for the token, and ack_out is NULL"));
    }
    Ok(())
}

/// Runs an operation that may make events, and hands them over.
pub(super) fn with_outbox<T>(run: impl FnOnce(&mut Outbox) -> Outcome<T>) -> Outcome<T> {
    let mut out = Outbox::default();
    let result = run(&mut out);
    out.deliver(false);
    result
}

/// Emits to one socket. With `SOCKEYE_EXPECT_ACK`, `*ack_out` is the token of the ACK event that will come, exactly once.
/// STALE: the socket has left; GONE: it is being disconnected; BAD_JSON: `data` is no JSON array; TOO_BIG: the key, or what
/// `SOCKEYE_PRIORITY` is for; FULL: the socket owes as many acknowledgements as `limits.acks_awaited_max` allows, or its budget is used up and
/// the policy is `SOCKEYE_OUTBOUND_DROP_NEWEST`. After an error no ACK event comes.
///
/// # Safety
/// `engine` is NULL or an engine; `emission` is NULL or valid, pointers inside included; `ack_out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_emit(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    emission: *const sockeye_emission,
    ack_out: *mut sockeye_token,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let token = with_emission(engine, emission, |emission| {
                check_ack(emission, ack_out)?;
                engine.server().emit(socket, emission)
            })?;
            write_token(ack_out, token);
            Ok(SOCKEYE_OK)
        })
    }
}

/// Emits to all that the target means; under `SOCKEYE_OUTBOUND_DROP_NEWEST` those whose budget is used up are left out. With
/// `SOCKEYE_EXPECT_ACK`, `*ack_out` is the token of the ACK events that will come; a socket that owes as many acknowledgements as
/// `limits.acks_awaited_max` allows is then left out, and the engine counts that.
///
/// # Safety
/// As `sockeye_emit`; `target` is NULL or valid, pointers inside included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_broadcast(
    engine: *mut sockeye_engine,
    target: *const sockeye_target,
    emission: *const sockeye_emission,
    ack_out: *mut sockeye_token,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            broadcast(engine, target, emission, ack_out)?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// # Safety
/// As `sockeye_broadcast`.
unsafe fn broadcast(
    engine: &sockeye_engine,
    target: *const sockeye_target,
    emission: *const sockeye_emission,
    ack_out: *mut sockeye_token,
) -> Outcome<()> {
    // SAFETY: the caller's promises.
    unsafe {
        let local = !emission.is_null() && sized(emission, "emission")?.flags & SOCKEYE_LOCAL != 0;
        let token = with_emission(engine, emission, |emission| {
            check_ack(emission, ack_out)?;
            with_target(engine, target, |nsp, target| {
                let target = Target { local: target.local || local, ..*target };
                with_outbox(|out| engine.server().broadcast(nsp, &target, emission, out))
            })
        })?;
        write_token(ack_out, token);
    }
    Ok(())
}

/// Answers an acknowledgement that a client asked for: `data` is a JSON array (NULL for none) with placeholders for attachments.
/// STALE: it was answered, or the client left.
///
/// # Safety
/// `engine` is NULL or an engine; the pointers are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_ack(
    engine: *mut sockeye_engine,
    token: sockeye_token,
    data: *const c_char,
    data_len: usize,
    attachments: *const sockeye_bytes,
    attachment_count: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            acknowledge(engine, token, (data, data_len), (attachments, attachment_count), false)?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// # Safety
/// The pointers are NULL or valid for their lengths; `trusted` data is a JSON array in UTF-8.
unsafe fn acknowledge(
    engine: &sockeye_engine,
    token: sockeye_token,
    data: (*const c_char, usize),
    attachments: (*const sockeye_bytes, usize),
    trusted: bool,
) -> Outcome<()> {
    // SAFETY: the caller's promises.
    unsafe {
        let args = arguments(data.0, data.1, trusted, "data")?;
        with_bytes(attachments, "attachments", |attachments| engine.server().acknowledge(token, args, attachments))
    }
}

/// Sends a message on a bare Engine.IO session (`SOCKEYE_OPT_ENGINE_ONLY`): text, or with `SOCKEYE_BINARY` bytes.
///
/// # Safety
/// `engine` is NULL or an engine; `data` is NULL or valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_send(
    engine: *mut sockeye_engine,
    socket: sockeye_socket,
    data: *const c_void,
    len: usize,
    flags: u32,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            if flags & !SOCKEYE_BINARY != 0 {
                return Err(Error::new(Code::Invalid, format!("flags has unknown bits: {flags:#x}")));
            }
            let binary = flags & SOCKEYE_BINARY != 0;
            let data = match binary {
                true => bytes(data.cast(), len, "data")?,
                false => text(data.cast(), len, "data")?.as_bytes(),
            };
            engine.server().send_raw(socket, data, binary)?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Carries out many operations in order, with one wake for each I/O thread: a game's tick in one crossing. `op_size` is
/// `sizeof(sockeye_op)`. What each gave goes to `results` unless that is NULL. The number of operations that failed, or, if nothing
/// was done, a negative code.
///
/// # Safety
/// `engine` is NULL or an engine; `ops` is NULL or has `count` elements of `op_size` bytes, each valid, pointers inside included;
/// `results` is NULL or has room for `count`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_submit(
    engine: *mut sockeye_engine,
    ops: *mut sockeye_op,
    op_size: usize,
    count: usize,
    results: *mut sockeye_result,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            if ops.is_null() && count > 0 {
                return Err(null("ops"));
            }
            if op_size < size_of::<u64>() || op_size > isize::MAX as usize / count.max(1) || count > i32::MAX as usize {
                return Err(Error::new(Code::Invalid, format!("op_size is {op_size}; pass sizeof(sockeye_op)")));
            }
            let mut failed = 0;
            cork(|| {
                for at in 0..count {
                    let op = ops.cast::<u8>().add(at * op_size).cast::<sockeye_op>();
                    let result = guard(|| operation(engine, op).map(|()| SOCKEYE_OK));
                    failed += i32::from(result < 0);
                    if !results.is_null() {
                        *results.add(at) = result;
                    }
                }
            });
            Ok(failed)
        })
    }
}

/// # Safety
/// `op` is valid, pointers inside included.
unsafe fn operation(engine: &sockeye_engine, op: *mut sockeye_op) -> Outcome<()> {
    let server = engine.server();
    // SAFETY: the caller's promises; `token` is within every version of the struct.
    unsafe {
        let given = sized(op.cast_const(), "op")?;
        let token_out = &raw mut (*op).token;
        match given.kind {
            SOCKEYE_OP_EMIT => {
                let token = with_emission(engine, given.emission, |emission| server.emit(given.socket, emission))?;
                write_token(token_out, token);
                Ok(())
            }
            SOCKEYE_OP_BROADCAST => broadcast(engine, given.target, given.emission, token_out),
            SOCKEYE_OP_ACK => {
                if given.emission.is_null() {
                    return acknowledge(engine, given.token, (std::ptr::null(), 0), (std::ptr::null(), 0), false);
                }
                let what = sized(given.emission, "emission")?;
                check_plain(&what, "an acknowledgement")?;
                let attachments = (what.attachments, what.attachment_count);
                let trusted = what.flags & SOCKEYE_TRUST_JSON != 0;
                acknowledge(engine, given.token, (what.data, what.data_len), attachments, trusted)
            }
            SOCKEYE_OP_SEND => {
                let message = sized(given.emission, "emission")?;
                check_plain(&message, "a raw message")?;
                let attachments = (message.attachments, message.attachment_count);
                with_bytes(attachments, "emission.attachments", |attachments| match *attachments {
                    [binary] => server.send_raw(given.socket, binary, true),
                    [] => {
                        let data = text(message.data, message.data_len, "emission.data")?;
                        server.send_raw(given.socket, data.as_bytes(), false)
                    }
                    _ => Err(Error::new(Code::Invalid, "a message is text, or one attachment")),
                })
            }
            SOCKEYE_OP_JOIN => with_texts((given.rooms, given.room_count), "rooms", |rooms| {
                with_outbox(|out| server.join(given.socket, rooms, out))
            }),
            SOCKEYE_OP_LEAVE => with_texts((given.rooms, given.room_count), "rooms", |rooms| {
                with_outbox(|out| server.leave(given.socket, rooms, out))
            }),
            SOCKEYE_OP_DISCONNECT => super::sockets::disconnect(engine, given.socket, given.flags),
            other => Err(Error::new(Code::Invalid, format!("op.kind {other} is no SOCKEYE_OP_*"))),
        }
    }
}

/// Encodes an event once, for any number of emissions in the namespace `nsp`. `*out` is to be freed with `sockeye_message_free`.
///
/// # Safety
/// `engine` is NULL or an engine; `emission` is NULL or valid, pointers inside included; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_message_new(
    engine: *mut sockeye_engine,
    nsp: sockeye_nsp,
    emission: *const sockeye_emission,
    out: *mut *mut sockeye_message,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let out = place(out, "out")?;
            let namespace = engine.server().namespace_by_id(nsp).filter(|namespace| !namespace.name.is_empty());
            let namespace =
                namespace.ok_or_else(|| Error::new(Code::Invalid, format!("there is no namespace {nsp}")))?;
            if !emission.is_null() {
                check_plain(&*sized(emission, "emission")?, "a prepared message")?;
            }
            let encoded = with_emission(engine, emission, |emission| {
                match (emission.payload, emission.payload.parts(&namespace.name, None)) {
                    (Payload::Parts { .. }, Some((parts, attachments))) => Ok(Encoded::event(&parts, attachments)),
                    _ => Err(Error::new(Code::Invalid, "a message is prepared from a name and data")),
                }
            })?;
            *out = Box::into_raw(Box::new(sockeye_message(Prepared { nsp, encoded })));
            Ok(SOCKEYE_OK)
        })
    }
}

/// Gives a message back; emissions of it that are queued are not affected. NULL is allowed.
///
/// # Safety
/// `message` is NULL or a message that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_message_free(message: *mut sockeye_message) {
    if !message.is_null() {
        // SAFETY: made by `Box::into_raw`, and given back once.
        drop(unsafe { Box::from_raw(message) });
    }
}
