//! Draining: an engine ends its sessions one by one, so that their clients do not all come to the next process at once.
//!
//! [`Server::drain`] starts it and each shard carries it out on its own sessions (`net::drain`); here is what they share. While it
//! lasts the server is open: sockets, tokens and emissions mean what they always do. The last shard to finish closes it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::command::Command;
use super::emission::{Emission, Payload};
use super::error::{Code, Error};
use super::namespace::Target;
use super::root::Server;
use crate::queue::Outbox;

/// How sessions end.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Milliseconds over which their ends are spread.
    pub spread_ms: u32,
    /// Milliseconds that what is queued for them may take after that.
    pub grace_ms: u32,
}

/// The shards that have not finished, and how many sessions there were at first.
#[derive(Debug)]
pub struct Draining {
    shards: AtomicUsize,
    pub total: usize,
}

impl Draining {
    /// A shard has finished; true for the last one.
    pub fn finish(&self) -> bool {
        self.shards.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Server {
    /// Starts draining, once: `tell` goes to every socket first.
    pub fn drain(&self, drain: Drain, tell: Option<&Emission<'_>>) -> Result<(), Error> {
        if !self.is_open() {
            return Err(Error::new(Code::Closed, "the engine is closing"));
        }
        if let Some(tell) = tell {
            self.check_farewell(tell)?;
        }
        let draining = Draining { shards: AtomicUsize::new(self.mailboxes().len()), total: self.sessions.count() };
        if self.draining.set(draining).is_err() {
            return Err(Error::new(Code::Closed, "the engine is draining already"));
        }
        if let Some(tell) = tell {
            let everyone = Target { from: 0, rooms: &[], except: &[], local: true };
            for namespace in self.all_namespaces() {
                self.broadcast(namespace, &everyone, tell, &mut Outbox::default())?;
            }
        }
        for mailbox in self.mailboxes() {
            mailbox.send(Command::Drain(drain));
        }
        Ok(())
    }

    fn check_farewell(&self, tell: &Emission<'_>) -> Result<(), Error> {
        if self.config.engine_only {
            return Err(Error::new(Code::Unsupported, "a bare Engine.IO engine has no events to tell its clients"));
        }
        if tell.ack_timeout_ms.is_some() {
            return Err(Error::new(Code::Invalid, "what is told before draining cannot ask for acknowledgements"));
        }
        if matches!(tell.payload, Payload::Prepared(_)) {
            return Err(Error::new(Code::Invalid, "a prepared message is for one namespace, and all are told"));
        }
        Ok(())
    }

    /// Whether the engine takes new listeners and sessions.
    pub fn accepts(&self) -> bool {
        self.is_open() && self.draining.get().is_none()
    }
}
