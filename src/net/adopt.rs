//! Connections that the host accepted, handed over: a descriptor, or a stream that the host feeds.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;
use std::sync::Arc;

use super::connection::Peer;
use super::engine::Engine;
use super::fed::{Fed, FedEnd, Host};
use super::http::HEAD_BYTES_CEILING;
use super::shard::Arrival;
use super::stream::Detached;
use crate::server::{Code, Error};
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

/// The peer of a connection without an address, such as one on a Unix socket.
pub const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

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
        let stream = sys::take_stream(fd)
            .map_err(|error| Error::new(Code::Io, format!("cannot take descriptor {fd} over: {error}")))?;
        let peer = Peer { address: handover.address.or(own).unwrap_or(NO_ADDRESS), secure: handover.secure };
        self.hand_over(self.peers.next_shard(), Detached::Socket(stream), peer, handover.head.to_vec());
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
        let fed = open_fed(self, host)?;
        tell(fed.id());
        let peer = Peer { address: handover.address.unwrap_or(NO_ADDRESS), secure: handover.secure };
        self.hand_over(self.peers.next_shard(), Detached::Fed(fed), peer, handover.head.to_vec());
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

    fn hand_over(&self, shard: usize, stream: Detached, peer: Peer, input: Vec<u8>) {
        self.peers.hand_over(shard, Arrival { stream, peer, input });
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
