//! The adapter as an engine has it: a node, and the thread that keeps its broker.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Builder;

use super::broker::{Broker, Heard, Member};
use super::format::Format;
use super::hosted;
use super::link;
use super::member::{ServerMember, watch_clock};
use super::node::{Node, Settings};
use super::receive::receive;
use crate::queue::Outbox;
use crate::server::adapter::{Adapter, Operation, Question};
use crate::server::{BroadcastAck, Code, Emission, Error, Namespace, RoomChanges, Server, Target};
use crate::sys;

/// When the engine closes, so long is spent on publishing what still waits.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// A node and its thread.
struct Cluster {
    node: Arc<Node>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Joins a server to a cluster that writes in this format; the broker is reached, or not, later.
pub fn start(
    server: &Arc<Server>,
    settings: Settings,
    format: Box<dyn Format>,
    broker: impl Broker,
) -> Result<(), Error> {
    start_with(server, settings, format, move || broker)
}

/// As `start`, with a broker that is made once nothing can fail any more.
pub fn start_with<B: Broker>(
    server: &Arc<Server>,
    settings: Settings,
    format: Box<dyn Format>,
    broker: impl FnOnce() -> B + Send + 'static,
) -> Result<(), Error> {
    let node = Arc::new(Node::new(settings, format));
    let io = |error: std::io::Error| Error::new(Code::Io, format!("the adapter's thread cannot start: {error}"));
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(io)?;
    let cluster = Arc::new(Cluster { node: node.clone(), thread: Mutex::default() });
    server.set_adapter(cluster.clone())?;
    let member = Arc::new(ServerMember { node, server: server.clone() });
    let thread = sys::spawn("sockeye-cluster", move || {
        runtime.block_on(async move {
            tokio::spawn(watch_clock(member.clone()));
            let as_member: Arc<dyn Member> = member.clone();
            let keeping = tokio::spawn(link::keep(as_member, broker()));
            member.node.outgoing.closed().await;
            // Whether it was in time or not, this is the end of it.
            drop(tokio::time::timeout(CLOSE_GRACE, keeping).await);
        });
        // A name that is being looked up is not waited for.
        runtime.shutdown_background();
    });
    *cluster.thread.lock() = Some(thread.map_err(io)?);
    // Its threads may have ended before they could see the adapter.
    if !server.is_open() {
        cluster.close(server);
    }
    Ok(())
}

impl Adapter for Cluster {
    fn open(&self, server: &Server, name: &str) {
        self.node.open(server, name);
    }

    fn shut(&self, server: &Server, name: &str) {
        self.node.shut(server, name);
    }

    fn rooms_changed(&self, server: &Server, nsp: &Namespace, changes: &RoomChanges) {
        if self.node.format.hears_rooms() {
            self.node.rooms_changed(server, nsp, changes);
        }
    }

    fn publish(&self, server: &Server, nsp: &Namespace, target: &Target<'_>, operation: &Operation<'_>) {
        self.node.publish(server, nsp, target, operation);
    }

    fn ask_receivers(
        &self,
        server: &Server,
        target: &Target<'_>,
        emission: &Emission<'_>,
        broadcast: &Arc<BroadcastAck>,
        timeout_ms: u32,
    ) {
        self.node.ask_receivers(server, target, emission, broadcast, timeout_ms);
    }

    fn ask(&self, server: &Server, nsp: &Arc<Namespace>, question: Question<'_>, token: u64) {
        self.node.ask(server, nsp, question, token);
    }

    fn emit(&self, server: &Server, nsp: &Namespace, emission: &Emission<'_>) {
        self.node.emit(server, nsp, emission);
    }

    fn hand_in(&self, server: &Arc<Server>, channel: &str, bytes: &[u8]) -> bool {
        let is_host_s = self.node.settings.kind == hosted::KIND;
        if is_host_s {
            receive(&self.node, server, &Heard { subscribed: channel, channel, bytes, entry: None });
        }
        is_host_s
    }

    fn close(&self, server: &Server) {
        self.node.close(server);
        if let Some(thread) = self.thread.lock().take() {
            // A panic of its own is a bug of ours, which ended the adapter earlier; there is nothing more to learn here.
            drop(thread.join());
        }
        let mut out = Outbox::default();
        self.node.requests.close(&mut out, server.now_us());
        out.deliver(false);
    }
}
