//! A measured run: warm-up, measurement, and a drain that proves that nothing was lost or came twice.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::net::{Handler, Net, Outbox};
use crate::proc::Server;
use crate::sys;

/// What is in flight at the end must arrive within this time, or it is lost.
const DRAIN: Duration = Duration::from_secs(10);
/// After the drain nothing may arrive; duplicates come at once, so this is enough.
const SILENCE: Duration = Duration::from_millis(200);
/// A closed loop that delivers nothing for so long has lost a message.
const STALL: Duration = Duration::from_secs(10);

/// A turn in which this thread was without a CPU for so long, and for longer than it had one, says nothing of the server. The second
/// part is for bursts: the kernel books what it does for them to nobody.
const ABSENCE_MIN: Duration = Duration::from_micros(100);

/// A scenario: sends messages and checks what comes back.
pub trait Workload: Handler {
    /// Sends the first messages.
    fn start(&mut self, out: &mut Outbox);
    /// Called once a turn; for scenarios that send by the clock.
    fn tick(&mut self, _now: Instant, _out: &mut Outbox) {}
    /// The generator itself was not running at some time of the turn that ends now: comes before the turn's `tick`.
    fn absent(&mut self, _now: Instant) {}
    /// Tells when the measured window opens and closes.
    fn measuring(&mut self, _open: bool) {}
    /// From now on nothing new is sent.
    fn stop(&mut self);
    /// Messages that arrived and were checked, since the start.
    fn delivered(&self) -> u64;
    /// Messages that are due.
    fn outstanding(&self) -> u64;
}

/// How long a run takes.
#[derive(Clone, Copy)]
pub struct Plan {
    pub warmup: Duration,
    pub seconds: Duration,
}

/// What the measured window gave.
pub struct Measured {
    pub messages: u64,
    pub seconds: f64,
    /// CPU time of the server, all threads.
    pub cpu_us: f64,
    pub rss_kib: u64,
}

/// Runs `workload` on connections that are ready for it.
pub fn run(net: &mut Net, workload: &mut impl Workload, plan: Plan, server: &Server) -> Result<Measured, Failure> {
    workload.start(&mut net.out);
    net.flush()?;
    spin(net, workload, plan.warmup)?;
    let (cpu, delivered, start) = (server.cpu_ns()?, workload.delivered(), Instant::now());
    workload.measuring(true);
    spin(net, workload, plan.seconds)?;
    workload.measuring(false);
    let measured = Measured {
        messages: workload.delivered() - delivered,
        seconds: start.elapsed().as_secs_f64(),
        cpu_us: server.cpu_ns()?.saturating_sub(cpu) as f64 / 1000.0,
        rss_kib: server.rss_kib()?,
    };
    workload.stop();
    drain(net, workload)?;
    Ok(measured)
}

fn spin(net: &mut Net, workload: &mut impl Workload, time: Duration) -> Result<(), Failure> {
    let start = Instant::now();
    let (mut seen, mut progress) = (workload.delivered(), start);
    let (mut turn, mut cpu) = (start, sys::thread_cpu());
    loop {
        net.turn(workload)?;
        let (now, now_cpu) = (Instant::now(), sys::thread_cpu());
        if was_absent(now - turn, now_cpu - cpu) {
            workload.absent(now);
        }
        (turn, cpu) = (now, now_cpu);
        if now - start >= time {
            return Ok(());
        }
        workload.tick(now, &mut net.out);
        net.flush()?;
        if workload.delivered() != seen {
            (seen, progress) = (workload.delivered(), now);
        } else if now - progress > STALL {
            return Err(lost(workload, STALL));
        }
    }
}

/// Whether a turn of `wall` time and `cpu` time of this thread was interrupted.
fn was_absent(wall: Duration, cpu: Duration) -> bool {
    let without = wall.saturating_sub(cpu);
    without >= ABSENCE_MIN && without > cpu
}

fn drain(net: &mut Net, workload: &mut impl Workload) -> Result<(), Failure> {
    let start = Instant::now();
    while workload.outstanding() > 0 {
        net.turn(workload)?;
        if start.elapsed() > DRAIN {
            return Err(lost(workload, DRAIN));
        }
    }
    let quiet = Instant::now();
    while quiet.elapsed() < SILENCE {
        net.turn(workload)?;
    }
    Ok(())
}

fn lost(workload: &impl Workload, time: Duration) -> Failure {
    Failure::Violation(format!(
        "lost: {} messages of {} did not arrive within {time:?}",
        workload.outstanding(),
        workload.delivered() + workload.outstanding()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_interrupted_if_most_of_a_noticeable_time_was_another_s() {
        let us = Duration::from_micros;
        assert!(was_absent(us(300), us(20)));
        assert!(!was_absent(us(90), us(20)), "too short to matter");
        assert!(!was_absent(us(300), us(180)), "a burst");
    }
}
