//! The few system calls that the standard library and tokio do not offer. Besides `ffi`, the only module with `unsafe`.

use std::io::{self, IoSlice};
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Buffers that one vectored write takes at most; Linux's `IOV_MAX` is 1024, and beyond a few dozen a second call costs nothing.
pub const IOV_MAX: usize = 64;

/// Writes without raising SIGPIPE: a plain `write` or `writev` to a closed peer kills a C host that keeps the default handler.
pub fn send_vectored(fd: RawFd, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: `msghdr` is plain data for which zeroes are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = buffers.as_ptr().cast_mut().cast();
    message.msg_iovlen = buffers.len().min(IOV_MAX) as _;
    // SAFETY: `IoSlice` is ABI-compatible with `iovec`; the slices outlive the call, and the kernel only reads them.
    let written = unsafe { libc::sendmsg(fd, &message, libc::MSG_NOSIGNAL) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(written as usize) }
}

/// As [`send_vectored`], for one buffer.
pub fn send(fd: RawFd, buffer: &[u8]) -> io::Result<usize> {
    // Not libc's function: as a cancellation point it costs two atomic operations for each call in a program with threads.
    // SAFETY: the pointer and length are those of a live slice; the address that `sendto` could take is none.
    let written = unsafe {
        libc::syscall(libc::SYS_sendto, fd, buffer.as_ptr(), buffer.len(), libc::MSG_NOSIGNAL, ptr::null::<u8>(), 0)
    };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(written as usize) }
}

/// Reads what is there, at most as much as `buffer` takes; 0 is the peer's end.
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (from, from_len) = (ptr::null_mut::<u8>(), ptr::null_mut::<u8>());
    // SAFETY: the pointer and length are those of a live slice; the places for an address are none.
    let read = unsafe { libc::syscall(libc::SYS_recvfrom, fd, buffer.as_mut_ptr(), buffer.len(), 0, from, from_len) };
    if read < 0 { Err(io::Error::last_os_error()) } else { Ok(read as usize) }
}

/// Ends the sending side of a socket. A peer that is gone needs no end, so the result does not matter.
pub fn shut_down_sending(fd: RawFd) {
    // SAFETY: no pointers; a bad `fd` is an error result.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// A counter that `poll` and its relatives can wait on: readable while it was raised and not lowered.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// Makes one, not raised, close-on-exec and non-blocking.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes it readable. A counter at its maximum is readable already, so the result does not matter.
    pub fn raise(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes from a live array.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it not readable.
    pub fn lower(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight bytes into a live array.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    /// For the host's `epoll`; this object keeps owning it.
    pub fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A timer that `poll` and its relatives can wait on: readable from its time on, until it is set anew.
#[derive(Debug)]
pub struct TimerFd(OwnedFd);

impl TimerFd {
    /// Makes one, not set, close-on-exec and non-blocking.
    pub fn new() -> io::Result<TimerFd> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        Ok(TimerFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Another descriptor of the same timer.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Sets it to `after` from now, once; zero is at once. It cannot fail for a time that is one.
    pub fn set(&self, after: Duration) {
        // All zeroes would unset it.
        let after = after.max(Duration::from_nanos(1));
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let at = libc::timespec { tv_sec: after.as_secs() as _, tv_nsec: after.subsec_nanos() as _ };
        let setting = libc::itimerspec { it_interval: never, it_value: at };
        // SAFETY: `setting` lives through the call; what was set before is not asked for.
        unsafe { libc::timerfd_settime(self.0.as_raw_fd(), 0, &setting, ptr::null_mut()) };
    }
}

/// Starts a thread with a name and with all signals blocked: signals belong to the host's threads.
pub fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    // SAFETY: signal sets are plain data; a new thread inherits the mask of the thread that starts it.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut before);
        let handle = thread::Builder::new().name(name.to_owned()).spawn(run);
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        handle
    }
}

static FORKS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// How many forks lie between this process and the one that asked first: a number that changes in a child, and costs a load to
/// read, where a process id costs a system call.
pub fn forks() -> usize {
    FORKS.load(Ordering::Relaxed)
}

/// Starts counting forks.
pub fn count_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler touches one atomic. It fails only for lack of memory, and then forks go unnoticed.
        unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
    });
}

/// An option of a socket that is a number.
fn socket_option(fd: RawFd, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointers are to live locals of the stated size; a bad `fd` is an error result.
    let asked = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, (&raw mut value).cast(), &mut len) };
    if asked < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// The address of the peer of a connected stream socket; none on a Unix socket. An error for any other descriptor.
pub fn peer_of(fd: RawFd) -> io::Result<Option<IpAddr>> {
    if socket_option(fd, libc::SO_TYPE)? != libc::SOCK_STREAM {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is not a stream"));
    }
    // SAFETY: zeroes are valid for every socket address.
    let mut address: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the pointers are to live locals of the stated size; a bad `fd` is an error result.
    if unsafe { libc::getpeername(fd, (&raw mut address).cast(), &mut len) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(match i32::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which address it is; the storage is aligned for all of them.
            let address = unsafe { *(&raw const address).cast::<libc::sockaddr_in>() };
            Some(IpAddr::V4(u32::from_be(address.sin_addr.s_addr).into()))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { *(&raw const address).cast::<libc::sockaddr_in6>() };
            Some(IpAddr::V6(address.sin6_addr.s6_addr.into()))
        }
        _ => None,
    })
}

/// Takes a connected stream socket over from the host: non-blocking, close-on-exec, and closed with the result. The type is that of
/// TCP whatever the family is; only its descriptor is used. On failure the descriptor stays open, and the host's.
pub fn take_stream(fd: RawFd) -> io::Result<TcpStream> {
    // SAFETY: no pointers; a bad `fd` is an error result.
    let set = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        flags >= 0
            && libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) >= 0
            && libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) >= 0
    };
    if !set {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` is open, and the host gives it up.
    Ok(unsafe { TcpStream::from_raw_fd(fd) })
}

/// Whether a socket is one of the file system, or of names like those.
pub fn is_unix(fd: RawFd) -> io::Result<bool> {
    Ok(socket_option(fd, libc::SO_DOMAIN)? == libc::AF_UNIX)
}

/// Takes a duplicate of a listening socket that the host owns; the host keeps (and closes) its own.
pub fn duplicate_listener(fd: RawFd) -> io::Result<OwnedFd> {
    if socket_option(fd, libc::SO_ACCEPTCONN)? == 0 || socket_option(fd, libc::SO_TYPE)? != libc::SOCK_STREAM {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is not listening for streams"));
    }
    // SAFETY: duplicates an open descriptor; the result is checked before it is owned.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `copy` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    #[test]
    fn writing_to_a_reset_peer_is_an_error_and_no_signal() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        drop(client);
        let mut failed = false;
        for _ in 0..100 {
            failed |= send_vectored(server.as_raw_fd(), &[IoSlice::new(b"a"), IoSlice::new(b"b")]).is_err();
        }
        assert!(failed);
    }

    #[test]
    fn vectored_write_keeps_the_order() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(send_vectored(server.as_raw_fd(), &[IoSlice::new(b"one "), IoSlice::new(b"two")]).unwrap(), 7);
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }

    #[test]
    fn only_a_listening_socket_can_be_duplicated() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(duplicate_listener(listener.as_raw_fd()).is_ok());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(duplicate_listener(client.as_raw_fd()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(duplicate_listener(-1).is_err());
    }
}
