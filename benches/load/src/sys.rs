//! The calls that std does not offer: epoll and a thread's CPU time. The only unsafe code of this program.
//!
//! Every descriptor is watched edge-triggered for reading, writing and hang-up at once, so that a connection costs
//! one registration in its life. The caller must therefore read until a short read and write until `WouldBlock`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Events taken from the kernel in one call: one for each of 1000 clients, and the array stays within 16 KiB.
const EVENTS_PER_WAIT: usize = 1024;

/// CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is written by the kernel and lives through the call, which cannot fail for a thread's own clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// An epoll instance with room for the events of one wait.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What is ready on the connection `id`.
#[derive(Clone, Copy)]
pub struct Ready {
    pub id: usize,
    pub readable: bool,
    pub writable: bool,
    /// The peer closed at least its half: reading must go on until it says so.
    pub hung_up: bool,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1 takes no pointer; a non-negative result is a descriptor that nobody else owns.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            // SAFETY: `fd` was checked above and is handed to exactly one owner.
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_WAIT],
        })
    }

    /// Watches `fd` under the number `id` until it is closed.
    pub fn add(&self, fd: RawFd, id: usize) -> io::Result<()> {
        let interest = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: interest as u32, u64: id as u64 };
        // SAFETY: `event` lives through the call, and the kernel copies it.
        let code = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if code < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Collects what is ready now, without sleeping, and returns how many events there are; see [`Epoll::ready`].
    pub fn poll(&mut self) -> io::Result<usize> {
        // SAFETY: the kernel writes at most EVENTS_PER_WAIT events, which is the length of the vector.
        let count =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), EVENTS_PER_WAIT as i32, 0) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// The event `index` of the last [`Epoll::poll`].
    pub fn ready(&self, index: usize) -> Ready {
        let event = self.events[index];
        let bits = event.events as i32;
        let hung_up = bits & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0;
        Ready {
            id: event.u64 as usize,
            readable: hung_up || bits & libc::EPOLLIN != 0,
            writable: bits & libc::EPOLLOUT != 0,
            hung_up,
        }
    }
}
