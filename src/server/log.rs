//! What an engine tells of itself, for the host's log: lines with a level, a target and fields.
//!
//! All lines come from I/O threads, and none while a lock is held, since the host's function may be what takes them. A line names
//! sessions and sockets by number or public id, and peers by address: never a session id, a header, a query or a payload. Peers cause
//! most lines, so each target has so many in a second, and one that says how many were left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};

use super::deadlines::Due;
use super::event::EVENT_LOG;
use super::metrics::Count;
use super::root::Server;
use crate::proto::json;
use crate::queue::{Event, Outbox, Queue};

/// Lines of a target in a second: more than anybody reads, and nothing to fill a disk with.
const LINES_PER_SECOND: u32 = 100;
const SECOND_US: u64 = 1_000_000;

/// How much a line matters, numbered as in the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A bug of the library, or what the host has to mend.
    Error = 1,
    /// A limit was passed, or something is slow.
    Warn = 2,
    /// The engine's own life.
    Info = 3,
    /// Sessions and sockets come and go.
    Debug = 4,
    /// Packets.
    Trace = 5,
}

impl Level {
    /// The level of a number; `None` for 0, which is no line at all, and for numbers of no level.
    pub fn of(number: i32) -> Option<Level> {
        [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace]
            .into_iter()
            .find(|level| *level as i32 == number)
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    Engine,
    Listen,
    Handshake,
    Session,
    Socket,
    Packet,
    Limit,
    Queue,
    Loop,
    Adapter,
}

const TARGETS: [(Target, &str); 10] = [
    (Target::Engine, "engine"),
    (Target::Listen, "listen"),
    (Target::Handshake, "handshake"),
    (Target::Session, "session"),
    (Target::Socket, "socket"),
    (Target::Packet, "packet"),
    (Target::Limit, "limit"),
    (Target::Queue, "queue"),
    (Target::Loop, "loop"),
    (Target::Adapter, "adapter"),
];

impl Target {
    fn name(self) -> &'static str {
        TARGETS.get(self as usize).map_or("", |(_, name)| name)
    }
}

/// The fields of a line: the members of a JSON object, without its braces.
#[derive(Default)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// A number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Fields {
        self.name(name);
        self.0.extend_from_slice(value.to_string().as_bytes());
        self
    }

    /// A text.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Fields {
        self.name(name);
        json::write_string(value, &mut self.0);
        self
    }

    /// The number of a session or socket, as the messages of errors have it; as text, since JavaScript's numbers cannot hold it.
    pub fn id(&mut self, name: &str, id: u64) -> &mut Fields {
        self.text(name, &format!("{id:#x}"))
    }

    fn name(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        json::write_string(name, &mut self.0);
        self.0.push(b':');
    }
}

/// One line.
pub struct Line<'a> {
    pub level: Level,
    pub target: &'a str,
    pub message: &'a str,
    /// A JSON object.
    pub fields: &'a str,
    pub time_us: u64,
}

/// Where lines go.
pub trait Sink: Send + Sync {
    /// Takes a line; false if there is no room for it.
    fn take(&self, line: &Line<'_>) -> bool;
}

/// Lines as LOG events. A queue that is half full takes none: reading stops when a queue is full, and must not because of a log.
pub struct QueueSink(pub Arc<Queue>);

impl Sink for QueueSink {
    fn take(&self, line: &Line<'_>) -> bool {
        if !self.0.is_at_ease() {
            return false;
        }
        let mut out = Outbox::default();
        let event = Event {
            kind: EVENT_LOG,
            status: line.level as i32,
            name: line.target,
            time_us: line.time_us,
            ..Event::default()
        };
        out.push_with(&self.0, &event, |data| {
            data.extend_from_slice(b"{\"message\":");
            json::write_string(line.message, data);
            let fields = line.fields.get(1..).unwrap_or("}");
            data.extend_from_slice(if fields == "}" { b"" } else { b"," });
            data.extend_from_slice(fields.as_bytes());
        });
        out.deliver(false);
        true
    }
}

/// What a target has had in a second.
#[derive(Clone, Copy, Default)]
struct Window {
    second: u64,
    lines: u32,
    left_out: u64,
    /// A line about those that were left out will come.
    promised: bool,
}

/// The log of an engine.
#[derive(Default)]
pub struct Log {
    /// The least important level that is wanted; 0 for none.
    level: AtomicU8,
    sink: RwLock<Option<Arc<dyn Sink>>>,
    windows: Mutex<[Window; TARGETS.len()]>,
}

impl Log {
    /// Wants lines of `level` and more important ones, or none. What took them before takes no more when its last call returns.
    pub fn set(&self, level: Option<Level>, sink: Option<Arc<dyn Sink>>) {
        self.level.store(0, Relaxed);
        let before = std::mem::replace(&mut *self.sink.write(), sink);
        self.level.store(level.map_or(0, |level| level as u8), Relaxed);
        // Its end may call the host: no lock is held here.
        drop(before);
    }

    /// Whether lines of a level are wanted.
    pub fn wants(&self, level: Level) -> bool {
        level as u8 <= self.level.load(Relaxed)
    }

    /// Whether a target may have another line; if not, the time at which a summary is to be written, unless one is promised.
    fn admit(&self, target: Target, now_us: u64) -> Result<(), Option<u64>> {
        let mut windows = self.windows.lock();
        let Some(window) = windows.get_mut(target as usize) else { return Ok(()) };
        let second = now_us / SECOND_US;
        if window.second != second {
            (window.second, window.lines) = (second, 0);
        }
        if window.lines < LINES_PER_SECOND {
            window.lines += 1;
            return Ok(());
        }
        window.left_out += 1;
        let first = !std::mem::replace(&mut window.promised, true);
        Err(first.then_some((second + 1) * SECOND_US))
    }

    /// How many lines of a target were left out since this was asked.
    fn take_left_out(&self, target: Target) -> u64 {
        let mut windows = self.windows.lock();
        let Some(window) = windows.get_mut(target as usize) else { return 0 };
        window.promised = false;
        std::mem::take(&mut window.left_out)
    }
}

impl Server {
    /// Writes a line, if lines of this level are wanted; `fields` is called only then. For I/O threads, which hold no lock.
    pub fn log(
        &self,
        now_us: u64,
        level: Level,
        target: Target,
        message: &str,
        fields: impl FnOnce(&mut Fields) -> &mut Fields,
    ) {
        if !self.log.wants(level) {
            return;
        }
        match self.log.admit(target, now_us) {
            Ok(()) => {
                let mut written = Fields::default();
                fields(&mut written);
                self.write_line(now_us, level, target, message, &written);
            }
            Err(summary_us) => {
                self.metrics.count(Count::LogLinesLeftOut);
                if let (Some(at_us), Some(mailbox)) = (summary_us, self.mailboxes().first())
                    && mailbox.deadlines.lock().add(at_us / 1000, Due::LogSummary)
                {
                    mailbox.wake();
                }
            }
        }
    }

    fn write_line(&self, time_us: u64, level: Level, target: Target, message: &str, fields: &Fields) {
        // Taken out of the lock: the sink may be the host's function.
        let Some(sink) = self.log.sink.read().clone() else { return };
        let fields = format!("{{{}}}", String::from_utf8_lossy(&fields.0));
        if !sink.take(&Line { level, target: target.name(), message, fields: &fields, time_us }) {
            self.metrics.count(Count::LogLinesDropped);
        }
    }

    /// Says how many lines were left out.
    pub fn log_left_out(&self, now_us: u64) {
        for (target, _) in TARGETS {
            let lines = self.log.take_left_out(target);
            if lines > 0 && self.log.wants(Level::Warn) {
                let mut fields = Fields::default();
                fields.number("lines", lines);
                self.write_line(now_us, Level::Warn, target, "lines were left out", &fields);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_members_of_an_object() {
        let mut fields = Fields::default();
        fields.number("n", 5).text("t", "a\"b").id("session", 0x1_0000_0002);
        assert_eq!(fields.0, br#""n":5,"t":"a\"b","session":"0x100000002""#);
    }

    #[test]
    fn targets_are_found_by_their_number() {
        for (at, (target, name)) in TARGETS.iter().enumerate() {
            assert_eq!((*target as usize, target.name()), (at, *name));
        }
    }

    #[test]
    fn a_target_has_so_many_lines_in_a_second_and_one_summary() {
        let log = Log::default();
        for _ in 0..LINES_PER_SECOND {
            assert_eq!(log.admit(Target::Session, 1_500_000), Ok(()));
        }
        assert_eq!(log.admit(Target::Session, 1_600_000), Err(Some(2_000_000)));
        assert_eq!(log.admit(Target::Session, 1_700_000), Err(None));
        assert_eq!(log.admit(Target::Socket, 1_700_000), Ok(()));
        assert_eq!(log.admit(Target::Session, 2_000_000), Ok(()));
        assert_eq!((log.take_left_out(Target::Session), log.take_left_out(Target::Session)), (2, 0));
    }

    #[test]
    fn levels_include_those_that_matter_more() {
        let log = Log::default();
        assert!(!log.wants(Level::Error));
        log.set(Some(Level::Info), None);
        assert!(log.wants(Level::Error) && log.wants(Level::Info) && !log.wants(Level::Debug));
        assert_eq!((Level::of(5), Level::of(0), Level::of(6)), (Some(Level::Trace), None, None));
    }
}
