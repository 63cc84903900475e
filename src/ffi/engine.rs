//! Engines: made and listening.

use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::boundary::*;
use super::constants::*;
use super::events::sockeye_queue;
use super::limits::limits_of;
use super::types::*;
use crate::net::Engine;
use crate::net::http::{Cookie, Cors, HttpCompression, StaticDir, toggle};
use crate::options::Options;
use crate::queue::Queue;
use crate::server::{Code, Error, Server};
use crate::sys;

/// An engine: a Socket.IO server with threads of its own. Several can live in one process.
pub struct sockeye_engine {
    pub(super) engine: Engine,
    /// `sys::forks` when it was made.
    pub(super) forks: usize,
    #[expect(clippy::vec_box, reason = "the host holds their addresses")]
    queues: Mutex<Vec<Box<sockeye_queue>>>,
    /// Held while a queue's delivery is decided, so that it is decided once.
    pub(super) deciding: Mutex<()>,
}

impl sockeye_engine {
    pub(super) fn server(&self) -> &Arc<Server> {
        &self.engine.server
    }

    /// Gives up everything that an engine holds, the host's values included, and then its memory. Calls that the host makes on it
    /// meanwhile, in its drop callbacks, find that it is freed.
    ///
    /// # Safety
    /// `engine` was made by `start`, its threads have ended, and nobody else uses it any more.
    pub(super) unsafe fn release(engine: *mut sockeye_engine) {
        // SAFETY: the caller's promise; each field is dropped once, and `forks` stays for those who look.
        unsafe {
            (*engine).forks = FREED;
            std::ptr::drop_in_place(&raw mut (*engine).engine);
            std::ptr::drop_in_place(&raw mut (*engine).queues);
            std::ptr::drop_in_place(&raw mut (*engine).deciding);
            drop(Box::from_raw(engine.cast::<std::mem::MaybeUninit<sockeye_engine>>()));
        }
    }

    /// The handle of a queue, which lives as long as the engine.
    fn handle(&self, queue: &Arc<Queue>) -> *mut sockeye_queue {
        let mut queues = self.queues.lock();
        let known = queues.iter_mut().position(|handle| Arc::ptr_eq(&handle.queue, queue));
        let at = known.unwrap_or_else(|| {
            queues.push(Box::new(sockeye_queue::new(queue.clone(), self)));
            queues.len() - 1
        });
        &mut *queues[at]
    }

    /// The queue of a handle that this engine gave; the default one for NULL.
    pub(super) fn queue(&self, handle: *const sockeye_queue) -> Outcome<Arc<Queue>> {
        if handle.is_null() {
            return Ok(self.server().queue().clone());
        }
        let queues = self.queues.lock();
        let known = queues.iter().find(|known| std::ptr::eq(&***known, handle));
        known.map(|known| known.queue.clone()).ok_or_else(|| Error::new(Code::Invalid, "the queue is another engine's"))
    }
}

/// Fills `options` with defaults. `size` is `sizeof(sockeye_options)`, `abi` is `SOCKEYE_ABI`. VERSION if this library has another ABI.
///
/// # Safety
/// `options` is NULL or valid for writing `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_options_init(options: *mut sockeye_options, size: u32, abi: u32) -> sockeye_result {
    guard(|| {
        check_abi(abi)?;
        let defaults = Options::default();
        let null = (std::ptr::null(), 0);
        let value = sockeye_options {
            size,
            abi,
            flags: 0,
            shards: defaults.shards,
            transports: SOCKEYE_TRANSPORT_POLLING | SOCKEYE_TRANSPORT_WEBSOCKET,
            ping_interval_ms: defaults.ping_interval,
            ping_timeout_ms: defaults.ping_timeout,
            upgrade_timeout_ms: defaults.upgrade_timeout,
            connect_timeout_ms: defaults.connect_timeout,
            http_compression_threshold: HttpCompression::default().threshold as u32,
            max_http_buffer_size: defaults.max_http_buffer_size,
            queue_events_max: defaults.queue_events_max,
            queue_bytes_max: defaults.queue_bytes_max,
            path: null.0,
            path_len: null.1,
            cors: null.0,
            cors_len: null.1,
            cookie: null.0,
            cookie_len: null.1,
            headers: null.0,
            headers_len: null.1,
            client_dir: null.0,
            client_dir_len: null.1,
            limits: std::ptr::null(),
            trusted_proxies: null.0,
            trusted_proxies_len: null.1,
            metrics_path: null.0,
            metrics_path_len: null.1,
        };
        // SAFETY: the caller's promise.
        unsafe { write_sized(options, size as usize, &value, "options") }?;
        Ok(SOCKEYE_OK)
    })
}

fn check_abi(abi: u32) -> Outcome<()> {
    if abi == SOCKEYE_ABI {
        return Ok(());
    }
    Err(Error::new(Code::Version, format!("the header is of ABI {abi}, the library of ABI {SOCKEYE_ABI}")))
}

/// Makes an engine and starts its threads; it listens to nothing yet. On success `*out` is to be freed with `sockeye_engine_free`.
/// INVALID names the option that is wrong; IO: threads or descriptors could not be had.
///
/// # Safety
/// `options` is NULL or filled by `sockeye_options_init`; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_new(
    options: *const sockeye_options,
    out: *mut *mut sockeye_engine,
) -> sockeye_result {
    guard(|| {
        // SAFETY: the caller's promises.
        let (out, options) = unsafe { (place(out, "out")?, sized(options, "options")?) };
        check_abi(options.abi)?;
        // SAFETY: the text fields are NULL or valid, by the contract of the struct.
        *out = start(unsafe { options_of(&options) }?)?;
        Ok(SOCKEYE_OK)
    })
}

/// As `sockeye_engine_new`, with the options by their official names as a JSON object. Unknown keys are INVALID and named.
///
/// # Safety
/// `json` is NULL or valid for `len` bytes; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_new_json(
    json: *const c_char,
    len: usize,
    out: *mut *mut sockeye_engine,
) -> sockeye_result {
    guard(|| {
        // SAFETY: the caller's promises.
        let (out, json) = unsafe { (place(out, "out")?, text(json, len, "json")?) };
        *out = start(Options::from_json(if json.is_empty() { "{}" } else { json })?)?;
        Ok(SOCKEYE_OK)
    })
}

fn start(options: Options) -> Outcome<*mut sockeye_engine> {
    let (server, net) = options.into_configs()?;
    sys::count_forks();
    let server = Arc::new(Server::new(server));
    let engine = Engine::start(server, net)
        .map_err(|error| Error::new(Code::Io, format!("the engine's threads cannot start: {error}")))?;
    Ok(Box::into_raw(Box::new(sockeye_engine {
        engine,
        forks: sys::forks(),
        queues: Mutex::default(),
        deciding: Mutex::default(),
    })))
}

const OPTION_FLAGS: u32 = SOCKEYE_OPT_NO_UPGRADES
    | SOCKEYE_OPT_ALLOW_REQUEST
    | SOCKEYE_OPT_NO_TRAILING_SLASH
    | SOCKEYE_OPT_NO_HTTP_COMPRESSION
    | SOCKEYE_OPT_ENGINE_ONLY
    | SOCKEYE_OPT_CONNECTION_ERRORS
    | SOCKEYE_OPT_CHECK_ORIGIN
    | SOCKEYE_OPT_HTTP_EVENTS
    | SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN;

/// Options as C gives them: 0 and NULL are defaults.
///
/// # Safety
/// The text fields are NULL or valid for their lengths, and `limits` is NULL or valid.
unsafe fn options_of(given: &sockeye_options) -> Outcome<Options> {
    if given.flags & !OPTION_FLAGS != 0 {
        return Err(Error::new(
            Code::Invalid,
            format!("options.flags has unknown bits: {:#x}", given.flags & !OPTION_FLAGS),
        ));
    }
    let has = |flag: u32| given.flags & flag != 0;
    let default = Options::default();
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    let or_long = |value: u64, default: u64| if value == 0 { default } else { value };
    let threshold = or(given.http_compression_threshold, HttpCompression::default().threshold as u32) as usize;
    let compression = HttpCompression { threshold, ..HttpCompression::default() };
    // SAFETY: the caller's promise.
    let (path, cors, cookie, headers, client_dir, proxies, metrics_path) = unsafe {
        (
            text(given.path, given.path_len, "options.path")?,
            text(given.cors, given.cors_len, "options.cors")?,
            text(given.cookie, given.cookie_len, "options.cookie")?,
            text(given.headers, given.headers_len, "options.headers")?,
            text(given.client_dir, given.client_dir_len, "options.client_dir")?,
            text(given.trusted_proxies, given.trusted_proxies_len, "options.trusted_proxies")?,
            text(given.metrics_path, given.metrics_path_len, "options.metrics_path")?,
        )
    };
    Ok(Options {
        path: (!path.is_empty()).then(|| path.to_owned()),
        add_trailing_slash: !has(SOCKEYE_OPT_NO_TRAILING_SLASH),
        transports: transports_of(given.transports)?.unwrap_or(default.transports),
        allow_upgrades: !has(SOCKEYE_OPT_NO_UPGRADES),
        ping_interval: or(given.ping_interval_ms, default.ping_interval),
        ping_timeout: or(given.ping_timeout_ms, default.ping_timeout),
        upgrade_timeout: or(given.upgrade_timeout_ms, default.upgrade_timeout),
        connect_timeout: or(given.connect_timeout_ms, default.connect_timeout),
        cleanup_empty_child_namespaces: has(SOCKEYE_OPT_CLEANUP_EMPTY_CHILDREN),
        max_http_buffer_size: or_long(given.max_http_buffer_size, default.max_http_buffer_size),
        cors: parse_toggle::<Cors>(cors, "cors")?,
        cookie: parse_toggle::<Cookie>(cookie, "cookie")?,
        http_compression: (!has(SOCKEYE_OPT_NO_HTTP_COMPRESSION)).then_some(compression),
        headers: parse_json(if headers.is_empty() { "{}" } else { headers }, "headers")?,
        client_dir: (!client_dir.is_empty()).then(|| client_dir.to_owned()),
        metrics_path: (!metrics_path.is_empty()).then(|| metrics_path.to_owned()),
        allow_request: has(SOCKEYE_OPT_ALLOW_REQUEST),
        connection_errors: has(SOCKEYE_OPT_CONNECTION_ERRORS),
        http_events: has(SOCKEYE_OPT_HTTP_EVENTS),
        engine_only: has(SOCKEYE_OPT_ENGINE_ONLY),
        shards: or(given.shards, default.shards),
        queue_events_max: or_long(given.queue_events_max, default.queue_events_max),
        queue_bytes_max: or_long(given.queue_bytes_max, default.queue_bytes_max),
        // SAFETY: the caller's promise.
        limits: unsafe { limits_of(given.limits) }?,
        check_origin: has(SOCKEYE_OPT_CHECK_ORIGIN),
        trusted_proxies: parse_json(if proxies.is_empty() { "[]" } else { proxies }, "trusted_proxies")?,
    })
}

fn transports_of(bits: u32) -> Outcome<Option<Vec<String>>> {
    let known = [(SOCKEYE_TRANSPORT_POLLING, "polling"), (SOCKEYE_TRANSPORT_WEBSOCKET, "websocket")];
    if bits == 0 {
        return Ok(None);
    }
    let unknown = known.iter().fold(bits, |bits, (bit, _)| bits & !bit);
    if unknown != 0 {
        return Err(Error::new(Code::Invalid, format!("options.transports has unknown bits: {unknown:#x}")));
    }
    Ok(Some(known.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect()))
}

fn parse_json<T: serde::de::DeserializeOwned>(json: &str, what: &str) -> Outcome<T> {
    serde_json::from_str(json).map_err(|error| option_error(what, &error))
}

fn parse_toggle<T: serde::de::DeserializeOwned + Default>(json: &str, what: &str) -> Outcome<Option<T>> {
    if json.is_empty() {
        return Ok(None);
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = toggle(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| option_error(what, &error))
}

fn option_error(what: &str, error: &serde_json::Error) -> Error {
    let code = if error.is_data() { Code::Invalid } else { Code::BadJson };
    Error::new(code, format!("options.{what}: {error}"))
}

/// Serves the files of a folder under a path prefix (`/` for all), for small sites of pages. The longest prefix wins; the engine's own
/// path comes before all.
///
/// # Safety
/// `engine` is NULL or an engine; the texts are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_mount(
    engine: *mut sockeye_engine,
    prefix: *const c_char,
    prefix_len: usize,
    dir: *const c_char,
    dir_len: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let (prefix, dir) = (text(prefix, prefix_len, "prefix")?, text(dir, dir_len, "dir")?);
            if dir.is_empty() {
                return Err(Error::new(Code::Invalid, "dir is empty"));
            }
            let mount = StaticDir::open(prefix, Path::new(dir))
                .map_err(|error| Error::new(Code::Io, format!("cannot serve {dir}: {error}")))?;
            engine.engine.mount(mount);
            Ok(SOCKEYE_OK)
        })
    }
}

/// Listens on `host:port` (`127.0.0.1:3000`, `[::]:3000`, `localhost:0`); several addresses by several calls. The port, which the
/// system chooses for 0, goes to `*port_out` unless that is NULL. ADDR tells why the address cannot be had.
///
/// # Safety
/// `engine` is NULL or an engine; `addr` is NULL or valid for `addr_len` bytes; `port_out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_listen(
    engine: *mut sockeye_engine,
    addr: *const c_char,
    addr_len: usize,
    port_out: *mut u16,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let port = engine.engine.listen(text(addr, addr_len, "addr")?)?;
            if let Some(out) = port_out.as_mut() {
                *out = port;
            }
            Ok(SOCKEYE_OK)
        })
    }
}

/// Listens on a socket that the host, or its supervisor, bound and put into the listening state: of TCP, or a Unix one, whose peers have no
/// address. The engine uses a duplicate; the host's descriptor stays the host's to close.
///
/// # Safety
/// `engine` is NULL or an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_listen_fd(engine: *mut sockeye_engine, fd: isize) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_engine(engine, |engine| {
            let fd = i32::try_from(fd).map_err(|_| Error::new(Code::Invalid, format!("{fd} is no descriptor")))?;
            engine.engine.listen_fd(fd)?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// The engine's default queue; lives as long as the engine. NULL if `engine` is, or was made in the parent of this process.
///
/// # Safety
/// `engine` is NULL or an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_queue(engine: *mut sockeye_engine) -> *mut sockeye_queue {
    // SAFETY: the caller's promise.
    match unsafe { usable(engine) } {
        Some(engine) => engine.handle(engine.server().queue()),
        None => std::ptr::null_mut(),
    }
}

/// Makes another queue, for namespaces that are bound to it. It lives as long as the engine. CLOSED if the engine is closing.
///
/// # Safety
/// `engine` is NULL or an engine; `options` is NULL (defaults) or valid; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_queue_new(
    engine: *mut sockeye_engine,
    options: *const sockeye_queue_options,
    out: *mut *mut sockeye_queue,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let out = place(out, "out")?;
            let (events_max, bytes_max) = match options.is_null() {
                true => (0, 0),
                false => {
                    let options = sized(options, "options")?;
                    (options.events_max, options.bytes_max)
                }
            };
            let queue = engine.server().new_queue(events_max as usize, bytes_max as usize)?;
            *out = engine.handle(&queue);
            Ok(SOCKEYE_OK)
        })
    }
}
