//! Wakes a shard when its next timer is due.
//!
//! The kernel's own timer, set when something earlier comes up: a time-out that is given to each wait for events has the kernel set and
//! unset one for each (with one message a turn, 11.7 µs of CPU against 11.2).

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;

use crate::sys::TimerFd;

/// An alarm clock; times are the shard's milliseconds.
pub struct Alarm {
    timer: TimerFd,
    /// The same descriptor, as the runtime waits for it: of what tokio has for a foreign one, a pipe's end asks for no unsafe code.
    rings: Receiver,
    /// For when it is set; the past if it is not.
    at_ms: u64,
}

impl Alarm {
    /// An alarm of the runtime whose context this is called in. The error is the system's, which has no descriptors left.
    pub fn new() -> io::Result<Alarm> {
        let timer = TimerFd::new()?;
        let rings = Receiver::from_owned_fd_unchecked(timer.duplicate()?)?;
        Ok(Alarm { timer, rings, at_ms: 0 })
    }

    /// Wakes `cx` at `next_ms`, or earlier: that costs a turn, and setting the alarm anew in each turn would cost more.
    pub fn set(&mut self, cx: &mut Context<'_>, now_ms: u64, next_ms: u64) {
        if now_ms < self.at_ms && self.at_ms <= next_ms {
            return;
        }
        // That it rang before is forgotten first: after it is set, this could take the new ring for an old one.
        let mut count = [0; 8];
        while let Poll::Ready(Ok(())) = self.rings.poll_read_ready(cx) {
            // Nothing to read is what makes the runtime wait again.
            if self.rings.try_read(&mut count).is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
                break;
            }
        }
        self.timer.set(Duration::from_millis(next_ms.saturating_sub(now_ms)));
        self.at_ms = next_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Instant;

    use tokio::runtime::{Builder, Runtime};

    /// Waits until `alarm`, set at `now_ms` for `next_ms`, wakes; how long that took.
    fn rings_after(runtime: &Runtime, alarm: &mut Alarm, now_ms: u64, next_ms: u64) -> Duration {
        let (start, mut is_set) = (Instant::now(), false);
        runtime.block_on(poll_fn(|cx| {
            if std::mem::replace(&mut is_set, true) {
                return Poll::Ready(());
            }
            alarm.set(cx, now_ms, next_ms);
            Poll::Pending
        }));
        start.elapsed()
    }

    fn with_alarm() -> (Runtime, Alarm) {
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        let alarm = {
            let _inside = runtime.enter();
            Alarm::new().unwrap()
        };
        (runtime, alarm)
    }

    #[test]
    fn it_rings_at_its_time_again_and_again() {
        let (runtime, mut alarm) = with_alarm();
        for round in 0..3 {
            let took = rings_after(&runtime, &mut alarm, round * 100, round * 100 + 20);
            assert!(took >= Duration::from_millis(20), "{took:?}");
        }
    }

    #[test]
    fn what_is_due_already_rings_at_once() {
        let (runtime, mut alarm) = with_alarm();
        let took = rings_after(&runtime, &mut alarm, 50, 50);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn an_earlier_time_replaces_a_later_one() {
        let (runtime, mut alarm) = with_alarm();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        alarm.set(&mut cx, 0, 3_600_000);
        let took = rings_after(&runtime, &mut alarm, 10, 20);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}
