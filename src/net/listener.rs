//! A socket that connections come to: of TCP, or of the file system, on which peers have no address.

use std::io;
use std::net::{IpAddr, TcpListener as StdTcp, TcpStream as StdStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnix;
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::connection::NO_ADDRESS;
use super::stream::Stream;
use crate::sys;

/// A listening socket on its way to a shard: no runtime watches it.
pub enum Bound {
    Tcp(StdTcp),
    Unix(StdUnix),
}

impl Bound {
    /// A duplicate of a listening socket of the host's.
    pub fn duplicate(fd: i32) -> io::Result<Bound> {
        let copy = sys::duplicate_listener(fd)?;
        Ok(if sys::is_unix(fd)? { Bound::Unix(copy.into()) } else { Bound::Tcp(copy.into()) })
    }

    /// Prepares it for a runtime; its port, or 0 if it has none.
    pub fn prepare(&self) -> io::Result<u16> {
        match self {
            Bound::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Ok(listener.local_addr()?.port())
            }
            Bound::Unix(listener) => listener.set_nonblocking(true).map(|()| 0),
        }
    }

    /// Lets this thread's runtime watch it.
    pub fn watch(self) -> io::Result<Listener> {
        Ok(match self {
            Bound::Tcp(listener) => Listener::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener) => Listener::Unix(UnixListener::from_std(listener)?),
        })
    }
}

/// A listening socket that a shard accepts from.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Accepts a connection, with its peer's address; if there is none, the waker is woken when there is.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, IpAddr)>> {
        Poll::Ready(match self {
            Listener::Tcp(listener) => {
                ready!(listener.poll_accept(cx)).map(|(stream, peer)| (Stream::Socket(stream), peer.ip()))
            }
            Listener::Unix(listener) => ready!(listener.poll_accept(cx)).and_then(|(stream, _)| {
                // Streams are of one type, whatever the family is: only the descriptor is used.
                let stream = StdStream::from(OwnedFd::from(stream.into_std()?));
                Ok((Stream::Socket(TcpStream::from_std(stream)?), NO_ADDRESS))
            }),
        })
    }

    /// Where it listens, for people.
    pub fn address(&self) -> String {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map_or(String::new(), |address| address.to_string()),
            Listener::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map_or("unix:".to_owned(), |path| format!("unix:{}", path.display()))
            }
        }
    }
}
