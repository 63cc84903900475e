//! The metrics as text: the Prometheus text exposition format, version 0.0.4.

use std::fmt::Write;

use super::meter::{BUCKET_BOUNDS_US, Histogram, Meter, Tally};
use super::metrics::{COUNTS, Family, Snapshot};
use super::reason::Reason;

/// The value of `Content-Type` for this text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The reasons in the order of their numbers.
const REASONS: [Reason; 9] = [
    Reason::TransportError,
    Reason::TransportClose,
    Reason::PingTimeout,
    Reason::ParseError,
    Reason::ForcedClose,
    Reason::ForcedServerClose,
    Reason::ServerShuttingDown,
    Reason::ClientNamespaceDisconnect,
    Reason::ServerNamespaceDisconnect,
];

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// A text under construction. Writing to a `String` cannot fail.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: u64) {
        let _infallible = match label {
            Some((label, text)) => writeln!(self.0, "{name}{{{label}=\"{text}\"}} {value}"),
            None => writeln!(self.0, "{name} {value}"),
        };
    }

    /// One metric with a sample for each value of its label.
    fn labelled<L: AsRef<str>>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) {
        self.head(name, kind.name(), help);
        samples.into_iter().for_each(|(text, value)| self.sample(name, Some((label, text.as_ref())), value));
    }

    fn single(&mut self, kind: Kind, name: &str, help: &str, value: u64) {
        self.head(name, kind.name(), help);
        self.sample(name, None, value);
    }

    fn seconds(&mut self, kind: Kind, name: &str, help: &str, us: u64) {
        self.head(name, kind.name(), help);
        let _infallible = writeln!(self.0, "{name} {}", Seconds(us));
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let mut count = 0;
        let bounds = BUCKET_BOUNDS_US.iter().map(|bound| Seconds(*bound).to_string()).chain(["+Inf".to_owned()]);
        for (bucket, bound) in histogram.buckets().iter().zip(bounds) {
            count += bucket;
            let _infallible = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let _infallible = write!(self.0, "{name}_sum {}\n{name}_count {count}\n", Seconds(histogram.sum_us()));
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

/// Microseconds, written as seconds.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

use Kind::{Counter, Gauge};

/// Writes everything that was counted.
pub fn text(snapshot: &Snapshot) -> String {
    let mut out = Text(String::with_capacity(16 * 1024));
    connections(&mut out, &snapshot.total);
    traffic(&mut out, &snapshot.total);
    sockets(&mut out, snapshot);
    queues(&mut out, snapshot);
    limits(&mut out, snapshot);
    loops(&mut out, snapshot);
    out.0
}

fn connections(out: &mut Text, total: &Meter) {
    let by_transport = |polling, websocket| [("polling", total.get(polling)), ("websocket", total.get(websocket))];
    out.single(Gauge, "sockeye_connections", "Connections that are open.", total.get(Tally::Connections));
    out.single(
        Counter,
        "sockeye_connections_opened_total",
        "Connections that came.",
        total.get(Tally::ConnectionsOpened),
    );
    let help = "Engine.IO sessions that are open.";
    out.labelled(Gauge, "sockeye_sessions", help, "transport", by_transport(Tally::Polling, Tally::WebSocket));
    let samples = by_transport(Tally::OpenedPolling, Tally::OpenedWebSocket);
    let help = "Handshakes that became a session, by the transport that it began on.";
    out.labelled(Counter, "sockeye_handshakes_total", help, "transport", samples);
    let help = "Sessions that moved from polling to WebSocket.";
    out.single(Counter, "sockeye_upgrades_total", help, total.get(Tally::Upgrades));
    let errors = total.errors.iter().enumerate().map(|(code, count)| (code.to_string(), count.get()));
    let help = "Handshakes and requests that were refused, by Engine.IO code.";
    out.labelled(Counter, "sockeye_connection_errors_total", help, "code", errors);
    let answers = total.answers.iter().enumerate().skip(1);
    let answers = answers.map(|(class, count)| (format!("{class}xx"), count.get()));
    out.labelled(Counter, "sockeye_http_answers_total", "HTTP answers by class of status.", "class", answers);
}

fn traffic(out: &mut Text, total: &Meter) {
    let both = |inward, outward| [("in", total.get(inward)), ("out", total.get(outward))];
    let help = "Engine.IO packets.";
    out.labelled(Counter, "sockeye_packets_total", help, "direction", both(Tally::PacketsIn, Tally::PacketsOut));
    let help = "Bytes of connections.";
    out.labelled(Counter, "sockeye_network_bytes_total", help, "direction", both(Tally::BytesIn, Tally::BytesOut));
}

fn sockets(out: &mut Text, snapshot: &Snapshot) {
    let total = &snapshot.total;
    out.single(Gauge, "sockeye_sockets", "Sockets, waiting for admission or connected.", snapshot.sockets);
    out.single(Gauge, "sockeye_namespaces", "Namespaces.", snapshot.namespaces);
    out.single(Gauge, "sockeye_rooms", "Rooms with members, those of sockets' own ids left out.", snapshot.rooms);
    let connects = [("accepted", total.get(Tally::SocketsConnected)), ("refused", total.get(Tally::ConnectsRefused))];
    out.labelled(Counter, "sockeye_connects_total", "Answers to CONNECT packets.", "result", connects);
    let count = |reason: &Reason| total.disconnects.get(*reason as usize).map_or(0, super::meter::Counter::get);
    let reasons = REASONS.iter().map(|reason| (reason.text(), count(reason)));
    out.labelled(Counter, "sockeye_disconnects_total", "Sockets that left, by the official reason.", "reason", reasons);
    let (awaited, owed) = snapshot.acks_open();
    let help = "Acknowledgements that are open: awaited from clients, or owed to them.";
    out.labelled(Gauge, "sockeye_acks", help, "side", [("awaited", awaited), ("owed", owed)]);
    let help = "Acknowledgements that clients did not give in time.";
    out.single(Counter, "sockeye_acks_timed_out_total", help, total.get(Tally::AcksTimedOut));
}

fn queues(out: &mut Text, snapshot: &Snapshot) {
    let number = |(at, value): (usize, u64)| (at.to_string(), value);
    let of = |field: fn(&crate::queue::Depth) -> u64| snapshot.queues.iter().map(field).enumerate().map(number);
    let help = "Events that wait for the host.";
    out.labelled(Gauge, "sockeye_queue_events", help, "queue", of(|queue| queue.events));
    let help = "Bytes of events that wait for the host.";
    out.labelled(Gauge, "sockeye_queue_bytes", help, "queue", of(|queue| queue.bytes));
    let help = "Times that reading from sockets stopped because the queue was full.";
    out.labelled(Counter, "sockeye_queue_stalls_total", help, "queue", of(|queue| queue.stalls));
    let held = [
        ("outbound", snapshot.total.get(Tally::HeldOutbound)),
        ("input", snapshot.total.get(Tally::HeldInput)),
        ("queue", snapshot.queued().bytes),
        ("spare", snapshot.total.get(Tally::HeldSpare)),
    ];
    out.labelled(Gauge, "sockeye_buffer_bytes", "Memory held in buffers, by what they wait for.", "buffer", held);
}

fn limits(out: &mut Text, snapshot: &Snapshot) {
    let of = |family| {
        let counts = COUNTS.iter().filter(move |(_, known, _)| *known == family);
        counts.map(|(count, _, label)| (*label, snapshot.count(*count)))
    };
    let help = "Packets for clients that were not written, by cause.";
    out.labelled(Counter, "sockeye_dropped_packets_total", help, "cause", of(Family::Dropped));
    let help = "Times that a limit was passed, by what came of it.";
    out.labelled(Counter, "sockeye_limited_total", help, "what", of(Family::Limited));
    let help = "What the adapter could not do, and what came that was nothing.";
    out.labelled(Counter, "sockeye_adapter_total", help, "what", of(Family::Adapter));
    let help = "Lines of the log that the host did not get, by cause.";
    out.labelled(Counter, "sockeye_log_lines_dropped_total", help, "cause", of(Family::Log));
}

fn loops(out: &mut Text, snapshot: &Snapshot) {
    let total = &snapshot.total;
    let help = "From the heartbeat's ping to its pong.";
    out.histogram("sockeye_round_trip_seconds", help, &total.rtt);
    let help = "How late timers of the I/O threads were; they tick in milliseconds.";
    out.histogram("sockeye_loop_lag_seconds", help, &total.lag);
    let help =
        "How long turns of the I/O threads took, INLINE callbacks included; the sum is the time that they were busy.";
    out.histogram("sockeye_loop_turn_seconds", help, &total.turns);
    let help = "The longest turn of all.";
    out.seconds(Gauge, "sockeye_loop_turn_max_seconds", help, total.get(Tally::TurnMaxUs));
    let help = "Time since the engine was made.";
    out.seconds(Gauge, "sockeye_uptime_seconds", help, snapshot.time_us);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Depth;
    use crate::server::meter::BUCKETS;
    use std::collections::{HashMap, HashSet};

    fn snapshot() -> Snapshot {
        let total = Meter::default();
        total.add(Tally::PacketsIn, 3);
        total.rtt.record(150);
        total.rtt.record(90_000_000);
        total.disconnects[Reason::PingTimeout as usize].add(2);
        let queues = vec![Depth::default(), Depth { events: 4, bytes: 5, stalls: 6 }];
        let counts = [0; COUNTS.len()];
        Snapshot { total, counts, sockets: 7, namespaces: 1, rooms: 0, queues, time_us: 1_500_000 }
    }

    #[test]
    fn samples_say_what_was_counted() {
        let text = text(&snapshot());
        for line in [
            "sockeye_packets_total{direction=\"in\"} 3",
            "sockeye_queue_stalls_total{queue=\"1\"} 6",
            "sockeye_disconnects_total{reason=\"ping timeout\"} 2",
            "sockeye_round_trip_seconds_bucket{le=\"0.000100\"} 0",
            "sockeye_round_trip_seconds_bucket{le=\"0.000200\"} 1",
            "sockeye_round_trip_seconds_bucket{le=\"5.000000\"} 1",
            "sockeye_round_trip_seconds_bucket{le=\"+Inf\"} 2",
            "sockeye_round_trip_seconds_sum 90.000150",
            "sockeye_round_trip_seconds_count 2",
            "sockeye_uptime_seconds 1.500000",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn each_sample_follows_its_type_and_is_there_once() {
        let text = text(&snapshot());
        let (mut types, mut seen) = (HashMap::new(), HashSet::new());
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(types.insert(name, kind).is_none(), "{name} has two types");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                family = name;
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok() && seen.insert(series), "{line}");
                let name = series.split('{').next().unwrap();
                let suffix = name.strip_prefix(family).unwrap_or("another family");
                let suffixes: &[&str] =
                    if types[family] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(suffixes.contains(&suffix), "{line} under {family}");
            }
        }
        let buckets = seen.iter().filter(|series| series.starts_with("sockeye_loop_lag_seconds_bucket{le=")).count();
        assert_eq!((types["sockeye_loop_lag_seconds"], buckets), ("histogram", BUCKETS));
    }
}
