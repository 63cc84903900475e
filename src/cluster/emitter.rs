//! What a program says to a cluster without being one of its servers: broadcasts, and what happens to many sockets, as a server would
//! tell the others, under the name `emitter`, which official servers know as nobody's.
//!
//! Nobody waits for the broker: the thread that has a message writes it down and puts it into a bounded queue, which a thread of the
//! emitter's own empties in order. What is lost is counted: what had no room, and what was on its way when the connection broke, which may
//! have arrived or not and is not sent twice.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Builder;

use super::broker::{Broker, Heard, Member};
use super::draft::{Body, Draft, Whom};
use super::format::{Format, Local};
use super::link;
use super::outgoing::{Outgoing, Publication};
use super::peers::EMITTER;
use super::subscriptions::Subscriptions;
use crate::server::{Code, Emission, Error};
use crate::sys;

/// Whom an emitter means: the sockets of a namespace, on all servers.
#[derive(Clone, Copy)]
pub struct Address<'a> {
    pub nsp: &'a str,
    /// In any of these; none is all.
    pub rooms: &'a [&'a str],
    /// In none of these.
    pub except: &'a [&'a str],
}

impl<'a> Address<'a> {
    fn whom(&self) -> Whom<'a> {
        Whom { rooms: self.rooms, except: self.except, volatile: false, compress: true, timeout_ms: None }
    }
}

/// What has become of an emitter's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The broker is reached.
    pub is_up: bool,
    /// Messages that the broker has taken.
    pub published: u64,
    /// Those that may be lost: they were on their way when the connection broke.
    pub unconfirmed: u64,
    /// Those that are lost: there was no room for them, the broker refused them, or the emitter ended before they could be sent.
    pub dropped: u64,
    /// Times that the broker was lost, or not reached.
    pub downs: u64,
}

#[derive(Default)]
struct State {
    progress: Progress,
    /// Messages that were taken into the queue, and those of them that wait no more.
    accepted: u64,
    settled: u64,
    /// Messages that the broker refused of those that it is taking.
    refused: u64,
    /// Accepted messages that are lost, or may be.
    lost: u64,
    /// Why the broker was last lost, or not reached.
    reason: String,
    /// What is left for the messages that wait, once the emitter is closing.
    grace: Option<Duration>,
    /// The thread has ended.
    ended: bool,
}

/// What the callers share with the thread.
struct Station {
    format: Box<dyn Format>,
    outgoing: Outgoing,
    /// None.
    subscriptions: Subscriptions,
    state: Mutex<State>,
    /// Told with each change of the progress.
    changed: Condvar,
}

/// An emitter. Everything may be called from any thread.
pub struct Emitter {
    station: Arc<Station>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Emitter {
    /// Makes one, whose broker is reached, or not, later.
    pub fn start(format: Box<dyn Format>, broker: impl Broker, publish_queue_bytes: u64) -> Result<Emitter, Error> {
        let station = Arc::new(Station {
            format,
            outgoing: Outgoing::new(publish_queue_bytes as usize),
            subscriptions: Subscriptions::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let io = |error: std::io::Error| Error::new(Code::Io, format!("the emitter's thread cannot start: {error}"));
        let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(io)?;
        let member = station.clone();
        let thread = sys::spawn("sockeye-emitter", move || {
            runtime.block_on(async {
                let keeping = tokio::spawn(link::keep(member.clone() as Arc<dyn Member>, broker));
                member.outgoing.closed().await;
                let grace = member.state.lock().grace.unwrap_or_default();
                // Whether it was in time or not, this is the end of it.
                drop(tokio::time::timeout(grace, keeping).await);
            });
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
            member.end();
        });
        Ok(Emitter { station, thread: Mutex::new(Some(thread.map_err(io)?)) })
    }

    /// Emits to all that the address means.
    pub fn emit(&self, to: &Address<'_>, emission: &Emission<'_>) -> Result<(), Error> {
        let (data, attachments) = emission.payload.data(to.nsp);
        let whom = Whom { volatile: emission.volatile, compress: emission.compress, ..to.whom() };
        let event = Body { json: &data, attachments: &attachments };
        self.send(to.nsp, &Draft::Broadcast { request: None, event, whom })
    }

    /// Puts all that the address means into rooms.
    pub fn join(&self, to: &Address<'_>, rooms: &[&str]) -> Result<(), Error> {
        self.send(to.nsp, &Draft::Join { whom: to.whom(), rooms })
    }

    /// Takes all that the address means out of rooms.
    pub fn leave(&self, to: &Address<'_>, rooms: &[&str]) -> Result<(), Error> {
        self.send(to.nsp, &Draft::Leave { whom: to.whom(), rooms })
    }

    /// Disconnects all that the address means; with `close`, their connections.
    pub fn disconnect(&self, to: &Address<'_>, close: bool) -> Result<(), Error> {
        self.send(to.nsp, &Draft::Disconnect { whom: to.whom(), close })
    }

    /// Emits to the servers.
    pub fn server_emit(&self, nsp: &str, emission: &Emission<'_>) -> Result<(), Error> {
        let (data, attachments) = emission.payload.data(nsp);
        let event = Body { json: &data, attachments: &attachments };
        self.send(nsp, &Draft::ServerEmit { request: None, event })
    }

    fn send(&self, nsp: &str, draft: &Draft<'_>) -> Result<(), Error> {
        let station = &*self.station;
        let local = Arc::new(Local::new(&*station.format, nsp, EMITTER.to_owned()));
        let written = station.format.write(&local, draft);
        let written = written.map_err(|error| Error::new(Code::Invalid, format!("this cannot be written: {error}")))?;
        let mut state = station.state.lock();
        if state.grace.is_some() {
            return Err(Error::new(Code::Closed, "the emitter is closing already"));
        }
        if !station.outgoing.add(Publication { local, message: Some(written), count_for: None }) {
            state.progress.dropped += 1;
            return Err(Error::new(Code::Full, "publishQueueBytes are used up by what waits for the broker"));
        }
        state.accepted += 1;
        Ok(())
    }

    /// Waits until the broker has taken what was accepted before.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let until = Instant::now() + timeout;
        let mut state = self.station.state.lock();
        let (accepted, lost_before) = (state.accepted, state.lost);
        while state.settled < accepted {
            if state.ended {
                return Err(Error::new(Code::Closed, "the emitter ended before all was sent"));
            }
            if self.station.changed.wait_until(&mut state, until).timed_out() && state.settled < accepted {
                let left = accepted - state.settled;
                return Err(Error::new(
                    Code::Timeout,
                    format!("{left} messages wait for the broker: {}", state.reason),
                ));
            }
        }
        match state.lost - lost_before {
            0 => Ok(()),
            lost => {
                let text = format!("{lost} messages were lost: {}", state.reason);
                Err(Error::new(Code::Io, text))
            }
        }
    }

    /// What has become of the messages.
    pub fn progress(&self) -> Progress {
        self.station.state.lock().progress
    }

    /// Messages that wait for the broker, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        self.station.outgoing.waiting()
    }

    /// Why the broker was last lost, or not reached; empty if it never was.
    pub fn reason(&self) -> String {
        self.station.state.lock().reason.clone()
    }

    /// Takes no more, and publishes what waits, in so much time at most. False if it is closing already.
    pub fn close(&self, grace: Duration) -> bool {
        let mut state = self.station.state.lock();
        if state.grace.is_some() {
            return false;
        }
        state.grace = Some(grace);
        drop(state);
        self.station.outgoing.close();
        true
    }

    /// Closes, if that was not done, with this grace, and waits for the end.
    pub fn end(&self, grace: Duration) {
        self.close(grace);
        if let Some(thread) = self.thread.lock().take() {
            // A panic of its own is a bug of ours, which ended it earlier; there is nothing more to learn here.
            drop(thread.join());
        }
    }
}

impl Station {
    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// The thread ends: what waits still is lost.
    fn end(&self) {
        let (left, _) = self.outgoing.waiting();
        self.update(|state| {
            state.progress.dropped += left as u64;
            state.progress.is_up = false;
            state.ended = true;
        });
    }
}

impl Member for Station {
    fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    fn received(&self, _heard: &Heard<'_>) {}

    fn counted(&self, _request: &str, _subscribers: usize) {}

    fn up(&self) {
        self.update(|state| state.progress.is_up = true);
    }

    fn down(&self, reason: &str) {
        self.update(|state| {
            state.progress.is_up = false;
            state.progress.downs += 1;
            reason.clone_into(&mut state.reason);
        });
    }

    fn published(&self, messages: u64) {
        self.update(|state| {
            state.settled += messages;
            state.progress.published += messages - messages.min(std::mem::take(&mut state.refused));
        });
    }

    fn unconfirmed(&self, messages: u64) {
        self.update(|state| {
            state.settled += messages;
            state.progress.unconfirmed += messages;
            state.lost += messages;
        });
    }

    fn refused(&self, messages: u64, reason: &str) {
        self.update(|state| {
            state.refused += messages;
            state.lost += messages;
            state.progress.dropped += messages;
            reason.clone_into(&mut state.reason);
        });
    }

    fn garbled(&self, _channel: &str, _reason: &str) {}

    fn warn(&self, what: &str, reason: &str) {
        self.update(|state| state.reason = format!("{what}: {reason}"));
    }

    // What waits is published yet, if the grace allows.
    fn is_over(&self) -> bool {
        self.outgoing.is_closed() && self.outgoing.is_empty()
    }
}
