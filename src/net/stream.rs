//! What a connection's bytes come through: a socket of the kernel's, or a stream that the host feeds.
//!
//! A socket may have been accepted here or by the host, and be of any family: only its descriptor is used. Nothing here decides
//! anything; [`Connection`](super::connection::Connection) does.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::task::Context;

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::fed::FedEnd;
use crate::sys;

/// A stream that a shard reads and writes.
pub enum Stream {
    Socket(TcpStream),
    Fed(FedEnd),
}

/// A stream on its way to a shard: no runtime watches it.
pub enum Detached {
    Socket(std::net::TcpStream),
    Fed(FedEnd),
}

impl Detached {
    /// Lets this thread's runtime watch it. A stream that it cannot watch is closed by its drop.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            Detached::Socket(socket) => Stream::Socket(TcpStream::from_std(socket)?),
            Detached::Fed(fed) => Stream::Fed(fed),
        })
    }
}

impl Stream {
    /// Takes it from this thread's runtime.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Stream::Socket(socket) => Detached::Socket(socket.into_std()?),
            Stream::Fed(fed) => Detached::Fed(fed),
        })
    }

    /// Prepares a stream that comes to a shard.
    pub fn begin(&self, cx: &Context<'_>) {
        match self {
            // Answers are written whole, so waiting for more to send only costs time; without it the connection works too. A socket
            // of another family has no such thing.
            Stream::Socket(socket) => drop(socket.set_nodelay(true)),
            Stream::Fed(fed) => fed.attach(cx.waker()),
        }
    }

    /// Forgets that the runtime takes a new socket for readable; see `Connection::await_first_bytes`.
    pub fn assume_nothing(&self) {
        if let Stream::Socket(socket) = self {
            let forgotten: io::Result<()> = socket.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
            debug_assert!(forgotten.is_err());
        }
    }

    /// Whether there is something to read; if not, the waker is woken when there is.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> bool {
        match self {
            Stream::Socket(socket) => socket.poll_read_ready(cx).is_ready(),
            Stream::Fed(fed) => fed.is_readable(),
        }
    }

    /// Whether it takes more; if not, the waker is woken when it does.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> bool {
        match self {
            Stream::Socket(socket) => socket.poll_write_ready(cx).is_ready(),
            // The host said how much it takes, and says when that changes.
            Stream::Fed(_) => false,
        }
    }

    /// Reads into `buffer`; 0 is the peer's end, `WouldBlock` means that there is nothing.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = match self {
            Stream::Socket(socket) => socket,
            Stream::Fed(fed) => return fed.read(buffer),
        };
        let mut drained = None;
        let read = socket.try_io(Interest::READABLE, || match sys::receive(socket.as_raw_fd(), buffer)? {
            len if len > 0 && len < buffer.len() => {
                drained = Some(len);
                // A short read emptied the socket: the runtime is told, and another read that says so is spared.
                Err(io::ErrorKind::WouldBlock.into())
            }
            len => Ok(len),
        });
        drained.map_or(read, Ok)
    }

    /// Sends a part of `bytes`; how much that was.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Socket(socket) => socket.try_io(Interest::WRITABLE, || sys::send(socket.as_raw_fd(), bytes)),
            Stream::Fed(fed) => fed.send(&[IoSlice::new(bytes)]),
        }
    }

    /// As [`Stream::send`], for pieces that follow each other.
    pub fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Socket(socket) => {
                socket.try_io(Interest::WRITABLE, || sys::send_vectored(socket.as_raw_fd(), pieces))
            }
            Stream::Fed(fed) => fed.send(pieces),
        }
    }

    /// Ends it at once, in both directions: what was sent and not taken is forgotten, by the kernel too.
    pub fn reset(self) {
        if let Stream::Socket(socket) = &self {
            // If this fails it ends in the usual way.
            drop(socket.set_zero_linger());
        }
    }

    /// Ends the sending side: the peer sees the end after all that was sent.
    pub fn shut_down(&self) {
        match self {
            Stream::Socket(socket) => sys::shut_down_sending(socket.as_raw_fd()),
            Stream::Fed(fed) => fed.close(),
        }
    }
}
