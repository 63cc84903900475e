//! The log of an engine: lines for the host, by callback or as events.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::boundary::*;
use super::constants::*;
use super::engine::sockeye_engine;
use super::types::*;
use crate::server::log::{Level, Line, QueueSink, Sink};
use crate::server::{Code, Error};

/// The host's function.
struct LogFn {
    run: unsafe extern "C" fn(*mut c_void, i32, *const c_char, usize, *const c_char, usize, *const c_char, usize),
    user: User,
}

impl Sink for LogFn {
    fn take(&self, line: &Line<'_>) -> bool {
        let (target, message, fields) = (line.target, line.message, line.fields);
        // SAFETY: the host gave the function for this; the texts are valid until it returns.
        within_host(|| unsafe {
            (self.run)(
                self.user.value,
                line.level as i32,
                target.as_ptr().cast(),
                target.len(),
                message.as_ptr().cast(),
                message.len(),
                fields.as_ptr().cast(),
                fields.len(),
            );
        });
        true
    }
}

/// Wants the log of an engine: lines of `level` (`SOCKEYE_LOG_*`) and of those that matter more, given to `log_fn`, or with NULL as LOG events
/// of the default queue. May be called again at any time, from any thread, for another level or function; `SOCKEYE_LOG_OFF` ends it. By
/// default there is no log, and asking whether there is one costs a load.
///
/// `log_fn` is called on the engine's I/O threads, by several at once if there are several, with a target (`session`, `listen`, ...), a
/// message, and its fields as a JSON object; the texts are valid until it returns, and not zero-terminated. It should not block, and may
/// call `sockeye_engine_close` and no other function (`sockeye_engine_free` is DEADLOCK there). A call that is under way when the function is replaced ends as it began;
/// `drop` is called with `user` once no call is left, also if `level` is off, and never if this fails. No line holds payloads, headers,
/// queries or session ids, at any level. A target has 100 lines a second, and one that says how many were left out. LOG events that come
/// while the queue is half full are dropped: they never stop the reading from sockets. Both are counted in the metrics.
///
/// # Safety
/// `engine` is NULL or an engine; `log_fn` and `drop` may be called from any thread until then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_set_log(
    engine: *mut sockeye_engine,
    level: i32,
    log_fn: sockeye_log_fn,
    user: *mut c_void,
    drop: sockeye_drop_fn,
) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_engine(engine, |engine| {
            let wanted = Level::of(level);
            if wanted.is_none() && level != SOCKEYE_LOG_OFF {
                return Err(Error::new(Code::Invalid, format!("level {level} is no SOCKEYE_LOG_*")));
            }
            let server = engine.server();
            let sink: Arc<dyn Sink> = match log_fn {
                Some(run) => Arc::new(LogFn { run, user: User { value: user, drop } }),
                None => {
                    // Nothing will use it.
                    std::mem::drop(User { value: user, drop });
                    Arc::new(QueueSink(server.queue().clone()))
                }
            };
            server.log.set(wanted, wanted.map(|_| sink));
            Ok(SOCKEYE_OK)
        })
    }
}
