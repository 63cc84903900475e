//! Connections that the host accepted, handed over: a descriptor, or a stream that the host feeds.

use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use super::accept::Arrival;
use super::admission::Permit;
use super::connection::{NO_ADDRESS, Peer};
use super::engine::Engine;
use super::fed::{Fed, FedEnd, Host};
use super::http::HEAD_BYTES_CEILING;
use super::stream::Detached;
use crate::server::meter::Tally;
use crate::server::{Code, Count, Error};
use crate::sys;

/// What the host knows of a connection that it hands over.
pub struct Handover<'a> {
    /// Bytes that it has read already.
    pub head: &'a [u8],
    /// Who is at the other end, if the host says so.
    pub address: Option<IpAddr>,
    /// Whether it speaks TLS with them.
    pub secure: bool,
}

impl Engine {
    /// Takes over a connected stream socket. On failure the descriptor is still the host's, and as it was.
    pub fn adopt_fd(&self, fd: RawFd, handover: &Handover<'_>) -> Result<(), Error> {
        self.check_handover(handover)?;
        let own = sys::peer_of(fd).map_err(|error| match error.kind() {
            io::ErrorKind::NotConnected => {
                Error::new(Code::Gone, format!("descriptor {fd} has no peer, or none any more"))
            }
            _ => Error::new(Code::Invalid, format!("descriptor {fd} is no connected stream socket: {error}")),
        })?;
        let permit = self.admit(handover.address.or(own), handover.secure)?;
        let stream = sys::take_stream(fd)
            .map_err(|error| Error::new(Code::Io, format!("cannot take descriptor {fd} over: {error}")))?;
        self.hand_over(self.peers.next_shard(), Detached::Socket(stream), permit, handover.head.to_vec());
        Ok(())
    }

    /// Takes over a stream that the host feeds. `tell` gets its id before anything happens on it.
    pub fn adopt_fed(
        &self,
        handover: &Handover<'_>,
        host: impl FnOnce() -> Box<dyn Host>,
        tell: impl FnOnce(u64),
    ) -> Result<(), Error> {
        self.check_handover(handover)?;
        let permit = self.admit(handover.address, handover.secure)?;
        let fed = open_fed(self, host)?;
        tell(fed.id());
        self.hand_over(self.peers.next_shard(), Detached::Fed(fed), permit, handover.head.to_vec());
        Ok(())
    }

    fn check_handover(&self, handover: &Handover<'_>) -> Result<(), Error> {
        if !self.server.is_open() {
            return Err(Error::new(Code::Closed, "the engine is closing"));
        }
        let max = self.config.message_max + HEAD_BYTES_CEILING;
        if handover.head.len() > max {
            let text = format!("head has {} bytes; a request of at most {max} can have been read", handover.head.len());
            return Err(Error::new(Code::TooBig, text));
        }
        Ok(())
    }

    /// Counts what is handed over as a connection; FULL if there are too many.
    pub fn admit(&self, address: Option<IpAddr>, secure: bool) -> Result<Permit, Error> {
        let peer = Peer { address: address.unwrap_or(NO_ADDRESS), secure };
        self.peers.gate.admit(peer).map_err(|count| {
            self.server.metrics.count(count);
            let limits = &self.server.config.limits;
            let text = match count {
                Count::ConnectionsRefusedByAddress => {
                    format!("connectionsPerAddressMax: {} has {}", peer.address, limits.connections_per_address_max)
                }
                _ => format!("connectionsMax: there are {}", limits.connections_max),
            };
            Error::new(Code::Full, text)
        })
    }

    /// Gives a connection to a shard, with what was read of it.
    pub fn hand_over(&self, shard: usize, stream: Detached, permit: Permit, input: Vec<u8>) {
        self.server.set_reachable();
        if let Some(mailbox) = self.server.mailboxes().get(shard) {
            self.server.tally(mailbox, Tally::ConnectionsOpened, 1);
        }
        let deadline_ms = self.server.now_us() / 1000 + self.server.config.limits.request_time_ms;
        self.peers.hand_over(shard, Arrival { stream, permit, input, deadline_ms });
    }

    /// A stream that was adopted, by its id.
    pub fn fed(&self, id: u64) -> Result<Arc<Fed>, Error> {
        self.peers
            .streams()
            .get(id)
            .ok_or_else(|| Error::new(Code::Stale, format!("stream {id:#x} is closed, or never was")))
    }
}

/// Registers a stream of the host's.
pub fn open_fed(engine: &Engine, host: impl FnOnce() -> Box<dyn Host>) -> Result<FedEnd, Error> {
    let fed = Fed::open(engine.peers.streams(), host);
    fed.ok_or_else(|| Error::new(Code::Full, "as many streams are open as ids can tell apart"))
}
