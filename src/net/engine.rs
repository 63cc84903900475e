//! An engine: its threads, and how connections reach them.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::runtime::Builder;

use super::accept::Arrival;
use super::admission::{Gate, Permit};
use super::alarm::Alarm;
use super::config::Config;
use super::fed::Fed;
use super::http::StaticDir;
use super::listener::Bound;
use super::shard::Shard;
use super::stream::Stream;
use crate::queue::{Event, Outbox, Queue};
use crate::server::event::{EVENT_CLOSED, EVENT_FAULT};
use crate::server::log::{Level, Target};
use crate::server::{Code, Error, Kind, Mailbox, Server, Slots};
use crate::sys;

/// What comes to a shard from other threads.
#[derive(Default)]
pub struct Inbox {
    arrivals: Mutex<Vec<Arrival>>,
    listeners: Mutex<Vec<Bound>>,
}

impl Inbox {
    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.arrivals.lock().is_empty() && self.listeners.lock().is_empty()
    }

    /// The connections that came.
    pub fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals.lock())
    }

    /// The listeners that came.
    pub fn take_listeners(&self) -> Vec<Bound> {
        std::mem::take(&mut self.listeners.lock())
    }
}

/// The shards of an engine, to each other.
pub struct Peers {
    pub gate: Arc<Gate>,
    inboxes: Vec<Inbox>,
    mailboxes: Vec<Arc<Mailbox>>,
    next: AtomicUsize,
    running: AtomicUsize,
    /// Streams that the host feeds.
    streams: Arc<Slots<Fed>>,
}

impl Peers {
    fn new(server: &Server, config: &Config) -> Peers {
        let gate = Arc::new(Gate::new(&server.config.limits, config.trusted_proxies.clone()));
        let mailboxes = server.mailboxes().to_vec();
        let (next, running) = (AtomicUsize::new(0), AtomicUsize::new(mailboxes.len()));
        // A kind of which no table gives ids, so that one of another kind finds no stream.
        let streams = Arc::new(Slots::new(Kind::Completion));
        let inboxes = mailboxes.iter().map(|_| Inbox::default()).collect();
        Peers { gate, inboxes, mailboxes, next, running, streams }
    }

    /// What came to a shard.
    pub fn inbox(&self, shard: usize) -> &Inbox {
        &self.inboxes[shard]
    }

    /// The shard that the next connection goes to.
    pub fn next_shard(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.inboxes.len()
    }

    /// Hands a connection to a shard.
    pub fn hand_over(&self, shard: usize, arrival: Arrival) {
        self.inboxes[shard].arrivals.lock().push(arrival);
        self.mailboxes[shard].wake();
    }

    /// The streams that the host feeds, by id.
    pub fn streams(&self) -> &Arc<Slots<Fed>> {
        &self.streams
    }

    /// Hands an accepted stream to a shard. A stream that its runtime does not give back is closed by its drop.
    pub fn arrive(&self, shard: usize, stream: Stream, permit: Permit, deadline_ms: u64) {
        if let Ok(stream) = stream.detach() {
            self.hand_over(shard, Arrival { stream, permit, input: Vec::new(), deadline_ms });
        }
    }

    /// A shard has ended; true for the last one.
    fn ended(&self) -> bool {
        self.running.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

thread_local! {
    /// Address of the server whose engine started this thread; 0 elsewhere.
    static OF_SERVER: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The threads of an engine and what they share.
pub struct Engine {
    pub server: Arc<Server>,
    pub(super) config: Arc<Config>,
    pub(super) peers: Arc<Peers>,
    mounts: Arc<Mutex<Vec<Arc<StaticDir>>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Starts the shards. They listen to nothing yet.
    pub fn start(server: Arc<Server>, config: Config) -> io::Result<Engine> {
        let (peers, config, mounts) = (Arc::new(Peers::new(&server, &config)), Arc::new(config), Arc::default());
        let engine = Engine { server, config, peers, mounts, threads: Mutex::default() };
        for index in 0..engine.server.mailboxes().len() {
            if let Err(error) = engine.start_shard(index) {
                // Those that did start wait for work, and would for ever.
                engine.server.close(0);
                engine.join();
                return Err(error);
            }
        }
        Ok(engine)
    }

    fn start_shard(&self, index: usize) -> io::Result<()> {
        // Made here, so that lack of descriptors is an error of this call.
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let alarm = {
            let _inside = runtime.enter();
            Alarm::new()?
        };
        let (server, config) = (self.server.clone(), self.config.clone());
        let (peers, mounts) = (self.peers.clone(), self.mounts.clone());
        let thread = sys::spawn(&format!("sockeye-io-{index}"), move || {
            OF_SERVER.set(Arc::as_ptr(&server) as usize);
            let shard = Shard::new(index, server.clone(), config, peers.clone(), mounts, alarm);
            run_shard(&runtime, shard);
            // What was handed over too late for the last turn is closed, not kept.
            peers.inbox(index).take();
            if peers.ended() {
                end(&server);
            }
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Serves the files of a folder under a prefix; the longest prefix wins.
    pub fn mount(&self, dir: StaticDir) {
        let mut mounts = self.mounts.lock();
        mounts.push(Arc::new(dir));
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.prefix().len()));
    }

    /// Listens on an address, `host:port`; the port, which the system chooses for 0.
    pub fn listen(&self, address: &str) -> Result<u16, Error> {
        let addresses: Vec<SocketAddr> = address
            .to_socket_addrs()
            .map_err(|error| Error::new(Code::Addr, format!("{address} is no address to listen on: {error}")))?
            .collect();
        let listener =
            bind(&addresses).map_err(|error| Error::new(Code::Addr, format!("cannot listen on {address}: {error}")))?;
        self.add_listener(Bound::Tcp(listener))
    }

    /// Listens on a socket of the host's; its port, 0 on a Unix socket.
    pub fn listen_fd(&self, fd: i32) -> Result<u16, Error> {
        let listener = Bound::duplicate(fd)
            .map_err(|error| Error::new(Code::Invalid, format!("descriptor {fd} is no listening socket: {error}")))?;
        self.add_listener(listener)
    }

    fn add_listener(&self, listener: Bound) -> Result<u16, Error> {
        if !self.server.accepts() {
            return Err(Error::new(Code::Closed, "the engine is closing"));
        }
        let io = |error: io::Error| Error::new(Code::Io, format!("cannot use the listening socket: {error}"));
        let port = listener.prepare().map_err(io)?;
        self.server.set_reachable();
        self.peers.inboxes[0].listeners.lock().push(listener);
        self.peers.mailboxes[0].wake();
        Ok(port)
    }

    /// Starts the thread of a queue that is going to be a THREAD one.
    pub fn start_queue(&self, queue: &Arc<Queue>) -> io::Result<()> {
        let (queue, server) = (queue.clone(), Arc::as_ptr(&self.server) as usize);
        let thread = sys::spawn("sockeye-events", move || {
            OF_SERVER.set(server);
            queue.run(EVENT_CLOSED);
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Whether the calling thread is one of this engine's.
    pub fn owns_this_thread(&self) -> bool {
        OF_SERVER.get() == Arc::as_ptr(&self.server) as usize
    }

    /// Waits until all threads have ended. They do after `Server::close`.
    pub fn join(&self) {
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A shard's panics are caught in its turn; there is nothing more to learn here.
            drop(thread.join());
        }
        self.server.clear();
    }
}

/// The last shard has ended, and with it the engine: says so, in each queue as its last event.
fn end(server: &Arc<Server>) {
    if let Some(adapter) = server.adapter() {
        adapter.close(server);
    }
    let now_us = server.now_us();
    server.log_left_out(now_us);
    server.log(now_us, Level::Info, Target::Engine, "closed", |fields| fields);
    server.deliver_waiting();
    let mut out = Outbox::default();
    server.push_closed(&mut out);
    out.deliver(true);
}

fn bind(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    // The standard library sets SO_REUSEADDR, and a backlog of 4096 where the system allows it.
    TcpListener::bind(addresses)
}

/// Takes turns until the engine has closed. A panic is a bug of ours: it costs the connection whose turn it was, and the host is told.
fn run_shard(runtime: &tokio::runtime::Runtime, mut shard: Shard) {
    let _entered = runtime.enter();
    // Coop budgets would cut a turn short; a turn bounds itself.
    let turns =
        tokio::task::unconstrained(poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| shard.turn(cx))) {
            Ok(turn) => turn,
            Err(panic) => {
                shard.contain(&panic_text(&*panic));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }));
    runtime.block_on(turns);
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message").to_owned()
}

impl Shard {
    /// A turn panicked: the connection that was read then is dropped, and the host gets a FAULT event.
    fn contain(&mut self, text: &str) {
        self.tell_fault();
        let queue = self.server.queue().clone();
        self.out.push(&queue, &Event { kind: EVENT_FAULT, name: text, time_us: self.now_us, ..Event::default() });
        if let Some(key) = self.reading.take() {
            self.peer_failed(key);
        }
    }
}
