//! Metrics: what an engine has counted and holds, as a struct and as text.

use super::boundary::*;
use super::constants::*;
use super::engine::sockeye_engine;
use super::events::{on_queue, sockeye_buffer, sockeye_queue};
use super::types::*;
use crate::server::meter::{Counter, Tally};
use crate::server::{Count, Snapshot, exposition};

/// Writes the engine's metrics into `*out`, whose `size` the caller sets to `sizeof(sockeye_metrics)` before. Waits for no I/O thread;
/// each number is right by itself, two of them may be some packets apart. Also after `sockeye_engine_close`.
///
/// # Safety
/// `engine` is NULL or an engine; `out` is NULL or valid for as many bytes as its `size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_metrics(
    engine: *mut sockeye_engine,
    out: *mut sockeye_metrics,
) -> sockeye_result {
    // SAFETY: the caller's promises; the struct starts with its size.
    unsafe {
        on_engine(engine, |engine| {
            let size = out.as_ref().map(|out| out.size).ok_or_else(|| null("out"))?;
            write_sized(out, size as usize, &metrics_of(&engine.server().snapshot(), size), "metrics")?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// The engine's metrics in the Prometheus text exposition format 0.0.4, for a host that serves them itself: see also the option
/// `metricsPath`. `*out` is to be freed with `sockeye_buffer_free`.
///
/// # Safety
/// `engine` is NULL or an engine; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_metrics_text(
    engine: *mut sockeye_engine,
    out: *mut *mut sockeye_buffer,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let out = place(out, "out")?;
            *out = sockeye_buffer::give(exposition::text(&engine.server().snapshot()).into_bytes());
            Ok(SOCKEYE_OK)
        })
    }
}

/// Writes what waits in one queue into `*out`, whose `size` the caller sets to `sizeof(sockeye_queue_metrics)` before.
///
/// # Safety
/// `queue` is NULL or a queue of a live engine; `out` is NULL or valid for as many bytes as its `size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_queue_get_metrics(
    queue: *mut sockeye_queue,
    out: *mut sockeye_queue_metrics,
) -> sockeye_result {
    // SAFETY: the caller's promises; the struct starts with its size.
    unsafe {
        on_queue(queue, |queue, _| {
            let size = out.as_ref().map(|out| out.size).ok_or_else(|| null("out"))?;
            let depth = queue.queue.depth();
            let (events, bytes, stalls) = (depth.events, depth.bytes, depth.stalls);
            let value = sockeye_queue_metrics { size, reserved: 0, events, bytes, stalls };
            write_sized(out, size as usize, &value, "metrics")?;
            Ok(SOCKEYE_OK)
        })
    }
}

fn metrics_of(snapshot: &Snapshot, size: u32) -> sockeye_metrics {
    let total = &snapshot.total;
    let queued = snapshot.queued();
    let (acks_awaited, acks_owed) = snapshot.acks_open();
    sockeye_metrics {
        size,
        reserved: 0,
        time_us: snapshot.time_us,
        connections: total.get(Tally::Connections),
        sessions_polling: total.get(Tally::Polling),
        sessions_websocket: total.get(Tally::WebSocket),
        sockets: snapshot.sockets,
        namespaces: snapshot.namespaces,
        rooms: snapshot.rooms,
        acks_awaited,
        acks_owed,
        queue_events: queued.events,
        queue_bytes: queued.bytes,
        outbound_bytes: total.get(Tally::HeldOutbound),
        input_bytes: total.get(Tally::HeldInput),
        spare_bytes: total.get(Tally::HeldSpare),
        connections_opened: total.get(Tally::ConnectionsOpened),
        handshakes_polling: total.get(Tally::OpenedPolling),
        handshakes_websocket: total.get(Tally::OpenedWebSocket),
        upgrades: total.get(Tally::Upgrades),
        connects_accepted: total.get(Tally::SocketsConnected),
        connects_refused: total.get(Tally::ConnectsRefused),
        packets_in: total.get(Tally::PacketsIn),
        packets_out: total.get(Tally::PacketsOut),
        bytes_in: total.get(Tally::BytesIn),
        bytes_out: total.get(Tally::BytesOut),
        acks_timed_out: total.get(Tally::AcksTimedOut),
        queue_stalls: queued.stalls,
        errors: values(&total.errors),
        http_answers: values(&total.answers),
        disconnects: values(&total.disconnects),
        round_trips: total.rtt.buckets(),
        round_trips_us: total.rtt.sum_us(),
        loop_lag: total.lag.buckets(),
        loop_lag_us: total.lag.sum_us(),
        loop_turns: total.turns.buckets(),
        loop_turns_us: total.turns.sum_us(),
        loop_turn_max_us: total.get(Tally::TurnMaxUs),
        ..counts_of(snapshot)
    }
}

/// What is rare beside messages: the fields of the counts, and zeroes.
fn counts_of(snapshot: &Snapshot) -> sockeye_metrics {
    sockeye_metrics {
        dropped_newest: snapshot.count(Count::DroppedNewest),
        dropped_oldest: snapshot.count(Count::DroppedOldest),
        dropped_conflated: snapshot.count(Count::Conflated),
        dropped_expired: snapshot.count(Count::Expired),
        dropped_volatile: snapshot.count(Count::VolatileDropped),
        outbound_overflows: snapshot.count(Count::OutboundOverflows),
        connections_refused: snapshot.count(Count::ConnectionsRefused),
        connections_refused_by_address: snapshot.count(Count::ConnectionsRefusedByAddress),
        handshakes_evicted: snapshot.count(Count::HandshakesEvicted),
        handshakes_throttled: snapshot.count(Count::HandshakesThrottled),
        handshakes_uncounted: snapshot.count(Count::HandshakesUncounted),
        origins_refused: snapshot.count(Count::OriginsRefused),
        upgrades_refused: snapshot.count(Count::UpgradesRefused),
        connection_errors_untold: snapshot.count(Count::ConnectionErrorsUntold),
        rate_delays: snapshot.count(Count::RateDelays),
        rate_disconnects: snapshot.count(Count::RateDisconnects),
        namespaces_refused: snapshot.count(Count::NamespacesRefused),
        ack_requests_skipped: snapshot.count(Count::AckRequestsSkipped),
        request_timeouts: snapshot.count(Count::RequestTimeouts),
        log_lines_left_out: snapshot.count(Count::LogLinesLeftOut),
        log_lines_dropped: snapshot.count(Count::LogLinesDropped),
        adapter_unsent: snapshot.count(Count::AdapterUnsent),
        adapter_unconfirmed: snapshot.count(Count::AdapterUnconfirmed),
        adapter_malformed: snapshot.count(Count::AdapterMalformed),
        adapter_stray: snapshot.count(Count::AdapterStray),
        adapter_timeouts: snapshot.count(Count::AdapterTimeouts),
        adapter_downs: snapshot.count(Count::AdapterDowns),
        ..sockeye_metrics::default()
    }
}

fn values<const N: usize>(counters: &[Counter; N]) -> [u64; N] {
    std::array::from_fn(|at| counters.get(at).map_or(0, Counter::get))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::server::{COUNTS, Server};

    #[test]
    fn each_count_has_a_field_of_the_struct() {
        let (config, _) = Options::default().into_configs().unwrap();
        let server = Server::new(config);
        for (at, (count, ..)) in COUNTS.iter().enumerate() {
            server.metrics.add(*count, 7_000_000_001 + at as u64);
        }
        let metrics = metrics_of(&server.snapshot(), size_of::<sockeye_metrics>() as u32);
        // SAFETY: the struct is plain data made of whole 64-bit words.
        let words = unsafe {
            std::slice::from_raw_parts(
                (&raw const metrics).cast::<u64>(),
                size_of::<sockeye_metrics>() / size_of::<u64>(),
            )
        };
        for (at, (count, ..)) in COUNTS.iter().enumerate() {
            assert!(words.contains(&(7_000_000_001 + at as u64)), "{count:?} is in no field of sockeye_metrics");
        }
    }
}
