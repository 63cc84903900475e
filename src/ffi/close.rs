//! The end of an engine: drained, closed, freed.

use super::boundary::*;
use super::constants::*;
use super::convert::with_emission;
use super::engine::sockeye_engine;
use super::types::*;
use crate::server::{Code, Drain, Error};

/// Closes gently, for a deploy: the engine's listening sockets are closed at once (a process that has inherited one, see
/// `sockeye_engine_listen_fd`, accepts on), new sessions are refused with status 503, and the sessions that there are go on, each until
/// a time of its own: these are random and spread evenly over `spread_ms`, so that the clients do not all come back at once. A session
/// ends as in `sockeye_engine_close`: its sockets leave with `server shutting down`, the client is sent what is queued, then its transport is
/// closed, upon which the official clients connect again. CLOSING events tell how many sessions are left. When none is, or `spread_ms`
/// and `grace_ms` are over, the engine closes by itself: tokens complete, and CLOSED is the last event of each queue.
///
/// `options` may be NULL: no spread, no grace, nothing told. Returns at once; from any thread and callback. CLOSED if the engine is draining
/// or closing already. INVALID: `tell` is prepared or asks for acknowledgements; UNSUPPORTED: there is a `tell`, and the engine is bare.
///
/// # Safety
/// `engine` is NULL or an engine; `options` is NULL or valid, pointers inside included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_drain(
    engine: *mut sockeye_engine,
    options: *const sockeye_drain_options,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            if options.is_null() {
                engine.server().drain(Drain { spread_ms: 0, grace_ms: 0 }, None)?;
                return Ok(SOCKEYE_OK);
            }
            let options = sized(options, "options")?;
            let drain = Drain { spread_ms: options.spread_ms, grace_ms: options.grace_ms };
            match options.tell.is_null() {
                true => engine.server().drain(drain, None)?,
                false => with_emission(engine, options.tell, |tell| engine.server().drain(drain, Some(tell)))?,
            }
            Ok(SOCKEYE_OK)
        })
    }
}

/// Starts closing: no more connections, every socket gets DISCONNECT (`server shutting down`), open tokens complete with CLOSED,
/// what is queued on WebSockets is sent for at most `grace_ms`, and the last event of each queue is CLOSED. Returns at once; from any thread and
/// callback. CLOSED if it was called before. After `sockeye_engine_drain` it ends at once what that had left.
///
/// # Safety
/// `engine` is NULL or an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_close(engine: *mut sockeye_engine, grace_ms: u32) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_engine(engine, |engine| match engine.server().close(grace_ms) {
            true => Ok(SOCKEYE_OK),
            false => Err(Error::new(Code::Closed, "the engine is closing already")),
        })
    }
}

/// Closes if `sockeye_engine_close` was not called, or draining has not ended, joins the engine's threads, and frees it with its queues. After it returns no
/// callback runs, and each `drop` has run once. Events that were not polled are lost. DEADLOCK, and nothing done, on a thread of
/// the engine and in a wake, log or drop callback. NULL is allowed. In a child of the process that made it: FORKED, and nothing is freed.
///
/// # Safety
/// `engine` is NULL or an engine, which nobody uses any more, queues and events included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_free(engine: *mut sockeye_engine) -> sockeye_result {
    if engine.is_null() {
        return SOCKEYE_OK;
    }
    if is_within_host() {
        return guard(|| {
            Err(Error::new(Code::Deadlock, "a wake, log or drop callback comes within a call; free it later"))
        });
    }
    // SAFETY: the caller's promise.
    let freeable = unsafe {
        on_engine(engine, |engine| {
            if engine.engine.owns_this_thread() {
                return Err(Error::new(
                    Code::Deadlock,
                    "an engine's own thread cannot wait for itself; free it from another",
                ));
            }
            engine.server().close(0);
            engine.engine.join();
            Ok(SOCKEYE_OK)
        })
    };
    if freeable == SOCKEYE_OK {
        // SAFETY: made by `start`; its threads have been joined, and by the caller's promise nobody uses it.
        unsafe { sockeye_engine::release(engine) };
    }
    freeable
}
