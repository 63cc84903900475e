//! One Engine.IO session as every thread sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use parking_lot::Mutex;

use super::budget::Budget;
use super::handshake::Handshake;
use super::mailbox::Mailbox;
use super::outbound::Outbound;
use super::sid::Sid;

/// The transports that a session can be on, numbered as in the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Polling = 1,
    WebSocket = 2,
}

impl Transport {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Polling => "polling",
            Transport::WebSocket => "websocket",
        }
    }
}

/// A session. Its connection, timers and protocol state belong to its shard; here is what other threads need.
pub struct Client {
    /// Id in the engine's table of sessions.
    pub id: u64,
    /// Secret session id.
    pub sid: Sid,
    /// The Engine.IO revision: 4.
    pub revision: u32,
    /// Which shard owns the connection.
    pub shard: usize,
    /// The shard's mailbox.
    pub mailbox: Arc<Mailbox>,
    /// The first request.
    pub handshake: Handshake,
    /// The shard's own index of this session.
    index: AtomicU32,
    transport: AtomicU8,
    outbound: Mutex<Outbound>,
}

impl Client {
    /// A session that starts on `transport`; `shard` is its index and mailbox, `base64` keeps binary frames from it, `budget` bounds what
    /// may wait for it.
    pub fn new(
        id: u64,
        sid: Sid,
        shard: (usize, Arc<Mailbox>),
        transport: Transport,
        base64: bool,
        budget: Arc<Budget>,
        handshake: Handshake,
    ) -> Client {
        Client {
            id,
            sid,
            revision: 4,
            shard: shard.0,
            mailbox: shard.1,
            handshake,
            index: AtomicU32::new(u32::MAX),
            transport: AtomicU8::new(transport as u8),
            outbound: Mutex::new(Outbound::new(transport == Transport::WebSocket, base64, budget)),
        }
    }

    /// Tells where the shard keeps the session.
    pub fn set_index(&self, index: u32) {
        self.index.store(index, Ordering::Release);
    }

    /// Where the shard keeps the session.
    pub fn index(&self) -> u32 {
        self.index.load(Ordering::Acquire)
    }

    /// The transport that it is on.
    pub fn transport(&self) -> Transport {
        if self.transport.load(Ordering::Relaxed) == Transport::WebSocket as u8 {
            Transport::WebSocket
        } else {
            Transport::Polling
        }
    }

    /// The session moved to WebSocket.
    pub fn upgrade(&self) {
        self.transport.store(Transport::WebSocket as u8, Ordering::Relaxed);
        self.outbound.lock().upgrade();
    }

    /// Queues packets for the next flush; `queue` runs under the connection's lock, so what it adds stays together.
    pub fn send<T>(&self, queue: impl FnOnce(&mut Outbound) -> T) -> T {
        let (queued, turned) = {
            let mut outbound = self.outbound.lock();
            let queued = queue(&mut outbound);
            (queued, outbound.turned_dirty())
        };
        if turned {
            self.mailbox.mark_dirty(self.index());
        }
        queued
    }

    /// Looks at, or flushes, what waits.
    pub fn outbound<T>(&self, look: impl FnOnce(&mut Outbound) -> T) -> T {
        look(&mut self.outbound.lock())
    }
}
