//! How long answers took, of those that the generator was there to send and to receive.

use std::time::Instant;

/// Latencies of a measured window.
#[derive(Default)]
pub struct Latencies {
    ns: Vec<u64>,
    /// Those of the turn in progress begin here.
    turn: usize,
    /// What was due before waited for the generator, not for the server.
    not_before: Option<Instant>,
    left_out: u64,
}

impl Latencies {
    /// An answer came now for what was due then.
    pub fn add(&mut self, due: Instant) {
        if self.not_before.is_some_and(|time| due < time) {
            self.left_out += 1;
        } else {
            self.ns.push(due.elapsed().as_nanos() as u64);
        }
    }

    /// The generator was not running at some time of the turn that ends now.
    pub fn absent(&mut self, now: Instant) {
        self.left_out += (self.ns.len() - self.turn) as u64;
        self.ns.truncate(self.turn);
        self.not_before = Some(now);
    }

    /// A turn ends.
    pub fn turn(&mut self) {
        self.turn = self.ns.len();
    }

    /// In ascending order; and how many are not among them, since the generator itself was interrupted between their due time and their answer.
    pub fn sorted_ns(&mut self) -> (&[u64], u64) {
        self.ns.sort_unstable();
        (&self.ns, self.left_out)
    }
}
