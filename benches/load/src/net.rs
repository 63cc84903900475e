//! Connections and the turn of the loop: poll, read what is ready, hand bytes to a [`Handler`], write what it queued.
//!
//! The loop spins instead of sleeping, so a server never pays for waking the generator and every server meets the same
//! client behaviour. One buffer serves all reads; a connection keeps bytes of its own only while a message is incomplete.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use crate::failure::Failure;
use crate::sys::{Epoll, Ready};

/// More than all that one client can have in flight, so a read is short unless the server misbehaves.
const READ_BUFFER_BYTES: usize = 1 << 20;

/// Takes the bytes that arrive on connections.
pub trait Handler {
    /// Consumes whole messages from the front of `data`, which starts where the last call for `id` stopped, and
    /// returns how many bytes it took.
    fn bytes(&mut self, id: usize, data: &[u8], out: &mut Outbox) -> Result<usize, Failure>;
}

/// Bytes waiting to be written, for each connection.
#[derive(Default)]
pub struct Outbox {
    buffers: Vec<Vec<u8>>,
    /// Connections whose buffer became non-empty since the last flush.
    dirty: Vec<usize>,
}

impl Outbox {
    /// An outbox without connections, for tests of handlers.
    #[cfg(test)]
    pub fn detached(connections: usize) -> Self {
        Self { buffers: vec![Vec::new(); connections], dirty: Vec::new() }
    }

    /// What is queued for the connection `id`.
    #[cfg(test)]
    pub fn queued(&self, id: usize) -> &[u8] {
        &self.buffers[id]
    }

    /// Queues `bytes` for the connection `id`; all that is queued before the next flush leaves in one write.
    pub fn push(&mut self, id: usize, bytes: &[u8]) {
        let buffer = &mut self.buffers[id];
        if buffer.is_empty() {
            self.dirty.push(id);
        }
        buffer.extend_from_slice(bytes);
    }
}

struct Connection {
    stream: TcpStream,
    /// The beginning of a message whose end has not arrived.
    partial: Vec<u8>,
}

/// All connections of a run.
pub struct Net {
    /// Connections go to each in turn.
    servers: Vec<SocketAddr>,
    epoll: Epoll,
    connections: Vec<Connection>,
    read_buffer: Vec<u8>,
    pub out: Outbox,
}

impl Net {
    pub fn new(servers: Vec<SocketAddr>) -> io::Result<Self> {
        Ok(Self {
            servers,
            epoll: Epoll::new()?,
            connections: Vec::new(),
            read_buffer: vec![0; READ_BUFFER_BYTES],
            out: Outbox::default(),
        })
    }

    /// Opens one more connection and returns its number: 0, 1, 2 and so on.
    pub fn open(&mut self) -> io::Result<usize> {
        let id = self.connections.len();
        let stream = TcpStream::connect(self.servers[id % self.servers.len()])?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.epoll.add(stream.as_raw_fd(), id)?;
        self.connections.push(Connection { stream, partial: Vec::new() });
        self.out.buffers.push(Vec::new());
        Ok(id)
    }

    /// Closes every connection; numbers start from 0 again.
    pub fn close_all(&mut self) {
        self.connections.clear();
        self.out = Outbox::default();
    }

    /// Handles all that is ready now; returns at once if nothing is.
    pub fn turn(&mut self, handler: &mut impl Handler) -> Result<(), Failure> {
        for index in 0..self.epoll.poll()? {
            let ready = self.epoll.ready(index);
            if ready.writable && !self.out.buffers[ready.id].is_empty() {
                self.write(ready.id)?;
            }
            if ready.readable {
                self.read(ready, handler)?;
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what the outbox holds, one write for each connection.
    pub fn flush(&mut self) -> Result<(), Failure> {
        while let Some(id) = self.out.dirty.pop() {
            self.write(id)?;
        }
        Ok(())
    }

    fn write(&mut self, id: usize) -> Result<(), Failure> {
        let buffer = &mut self.out.buffers[id];
        while !buffer.is_empty() {
            match (&self.connections[id].stream).write(buffer) {
                Ok(count) if count == buffer.len() => buffer.clear(),
                Ok(count) => drop(buffer.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(closed(id, &error.to_string())),
            }
        }
        Ok(())
    }

    fn read(&mut self, ready: Ready, handler: &mut impl Handler) -> Result<(), Failure> {
        let connection = &mut self.connections[ready.id];
        loop {
            let kept = connection.partial.len();
            self.read_buffer[..kept].copy_from_slice(&connection.partial);
            connection.partial.clear();
            let space = &mut self.read_buffer[kept..];
            let room = space.len();
            let count = match (&connection.stream).read(space) {
                Ok(0) => return Err(closed(ready.id, "end of stream")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(closed(ready.id, &error.to_string())),
            };
            let data = &self.read_buffer[..kept + count];
            let taken = handler.bytes(ready.id, data, &mut self.out)?;
            connection.partial.extend_from_slice(&data[taken..]);
            // Edge-triggered: a short read proves that the socket is empty, unless an end of stream follows it.
            if count == 0 || (count < room && !ready.hung_up) {
                return Ok(());
            }
        }
    }
}

fn closed(id: usize, why: &str) -> Failure {
    Failure::Violation(format!("connection {id}: the server closed the connection ({why})"))
}
