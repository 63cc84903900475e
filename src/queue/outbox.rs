//! The events that one thread gathers before it hands them over.

use std::sync::Arc;

use super::chunk::{Chunk, Event};
use super::series::Series;
use super::shared::Queue;

/// Bytes and events of a chunk that had better be handed over in the middle of a turn.
const LARGE_BYTES: usize = 64 * 1024;
const LARGE_EVENTS: usize = 512;

/// Events of one turn, a chunk for each queue.
#[derive(Default)]
pub struct Outbox {
    chunks: Vec<(Arc<Queue>, Chunk)>,
    /// How many of the events belong to a series; one may be here several times.
    parts: Vec<(Arc<Series>, usize)>,
}

impl Outbox {
    /// Adds an event for a queue.
    pub fn push(&mut self, queue: &Arc<Queue>, event: &Event<'_>) {
        self.chunk(queue).push(event);
    }

    /// Adds an event whose data is written in place.
    pub fn push_with(&mut self, queue: &Arc<Queue>, event: &Event<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        self.chunk(queue).push_with(event, write);
    }

    /// Adds an event whose data is large and was made for it, which mostly saves a copy.
    pub fn push_made(&mut self, queue: &Arc<Queue>, event: &Event<'_>, data: Vec<u8>) {
        self.chunk(queue).push_made(event, data);
    }

    /// Tells that the event that was just added belongs to a series, whose end comes behind it.
    pub fn note_part(&mut self, series: &Arc<Series>) {
        series.keep();
        match self.parts.last_mut() {
            Some((last, count)) if Arc::ptr_eq(last, series) => *count += 1,
            _ => self.parts.push((series.clone(), 1)),
        }
    }

    /// Adds the end of a series, which comes when all has been handed over that belongs to it, from this outbox and from others.
    pub fn push_end(&mut self, series: &Arc<Series>, queue: &Arc<Queue>, event: &Event<'_>) {
        let own = self.parts.last().filter(|(last, _)| Arc::ptr_eq(last, series)).map_or(0, |(_, count)| *count);
        if !series.defer(own, queue, event) {
            self.push(queue, event);
        }
    }

    fn chunk(&mut self, queue: &Arc<Queue>) -> &mut Chunk {
        // An engine has few queues, and nearly always one.
        let at = match self.chunks.iter().position(|(known, _)| Arc::ptr_eq(known, queue)) {
            Some(at) => at,
            None => {
                self.chunks.push((queue.clone(), queue.chunk()));
                self.chunks.len() - 1
            }
        };
        &mut self.chunks[at].1
    }

    /// Whether nothing waits to be handed over.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether so much was gathered that it had better be handed over before there is more: what is read next would push it out of
    /// the processor's caches.
    pub fn is_large(&self) -> bool {
        self.chunks.iter().any(|(_, chunk)| chunk.payload_len() >= LARGE_BYTES || chunk.records().len() >= LARGE_EVENTS)
    }

    /// Hands everything over; with `inline`, INLINE queues call the host on this thread.
    pub fn deliver(&mut self, inline: bool) {
        for (queue, chunk) in self.chunks.drain(..) {
            queue.send(chunk, inline);
        }
        for (series, count) in self.parts.drain(..) {
            if let Some((queue, end)) = series.handed_over(count) {
                queue.send(end, inline);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::super::{Host, Limits, Mode};
    use super::*;

    struct Tokens(Mutex<Vec<u64>>);

    impl Host for Tokens {
        fn deliver(&self, chunk: &Arc<Chunk>) {
            self.0.lock().extend(chunk.records().iter().map(|record| record.token));
        }
    }

    const END: u64 = 9;

    struct Fixture {
        queue: Arc<Queue>,
        host: Arc<Tokens>,
        series: Arc<Series>,
    }

    impl Fixture {
        fn new() -> Fixture {
            let queue = Arc::new(Queue::new(Limits { events_max: 100, bytes_max: 1 << 20 }, Box::new(|| {})));
            let (host, series) = (Arc::new(Tokens(Mutex::default())), Arc::default());
            queue.set_mode(Mode::Inline, Some(host.clone()));
            Fixture { queue, host, series }
        }

        fn part(&self, out: &mut Outbox, token: u64) {
            out.push(&self.queue, &Event { token, ..Event::default() });
            out.note_part(&self.series);
        }

        fn end(&self, out: &mut Outbox) {
            out.push_end(&self.series, &self.queue, &Event { token: END, ..Event::default() });
        }

        /// Hands over what an outbox has; the tokens that have come in all.
        fn deliver(&self, mut out: Outbox) -> Vec<u64> {
            out.deliver(true);
            self.host.0.lock().clone()
        }
    }

    #[test]
    fn the_end_of_a_series_waits_for_what_other_outboxes_keep_of_it() {
        let (fixture, mut one, mut two, mut three) =
            (Fixture::new(), Outbox::default(), Outbox::default(), Outbox::default());
        fixture.part(&mut one, 1);
        fixture.part(&mut two, 2);
        fixture.part(&mut three, 3);
        fixture.part(&mut three, 4);
        fixture.end(&mut three);
        assert_eq!(fixture.deliver(three), [3, 4]);
        assert_eq!(fixture.deliver(one), [3, 4, 1]);
        assert_eq!(fixture.deliver(two), [3, 4, 1, 2, END]);
    }

    #[test]
    fn the_end_of_a_series_that_nobody_else_keeps_goes_with_the_rest() {
        let (fixture, mut out) = (Fixture::new(), Outbox::default());
        fixture.part(&mut out, 1);
        fixture.end(&mut out);
        out.push(&fixture.queue, &Event { token: 2, ..Event::default() });
        assert_eq!(fixture.deliver(out), [1, END, 2]);
        let mut out = Outbox::default();
        fixture.end(&mut out);
        assert_eq!(fixture.deliver(out), [1, END, 2, END]);
    }

    #[test]
    fn the_end_of_a_series_among_others_comes_once_all_is_handed_over() {
        let (fixture, mut out) = (Fixture::new(), Outbox::default());
        let other: Arc<Series> = Arc::default();
        fixture.part(&mut out, 1);
        out.push(&fixture.queue, &Event { token: 2, ..Event::default() });
        out.note_part(&other);
        fixture.part(&mut out, 3);
        fixture.end(&mut out);
        assert_eq!(fixture.deliver(out), [1, 2, 3, END]);
    }
}
