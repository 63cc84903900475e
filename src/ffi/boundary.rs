//! What stands between a C caller and the library: pointers, text, sizes, panics, errors.

use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::constants::{SOCKEYE_ERR_CLOSED, SOCKEYE_ERR_FORKED, SOCKEYE_ERR_PANIC};
use super::engine::sockeye_engine;
use super::types::sockeye_bytes;
use crate::server::{Code, Error};
use crate::sys;

/// What the functions of the library return inside.
pub type Outcome<T> = Result<T, Error>;

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
    /// How many of the host's wake and drop callbacks this thread is in.
    static IN_HOST: Cell<u32> = const { Cell::new(0) };
}

/// Remembers why this thread's last call failed.
fn remember(text: &str) {
    // Quoted input may hold a zero; the message ends there, as every C text does.
    let text = text.split('\0').next().unwrap_or_default();
    LAST_ERROR.with_borrow_mut(|last| *last = CString::new(text).unwrap_or_default());
}

/// This thread's last error, valid until its next one.
pub fn last_error() -> *const c_char {
    LAST_ERROR.with_borrow(|last| last.as_ptr())
}

/// Runs a function of the ABI: its errors become codes, its panics `SOCKEYE_ERR_PANIC`.
pub fn guard<T: From<i32>>(run: impl FnOnce() -> Outcome<T>) -> T {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => {
            remember(&error.text);
            T::from(error.code as i32)
        }
        Err(_) => {
            remember("a bug of the library: it panicked, and the panic was contained");
            T::from(SOCKEYE_ERR_PANIC)
        }
    }
}

/// As [`guard`], for a function on an engine: refuses NULL and an engine of the parent process.
///
/// # Safety
/// `engine` is NULL or was given by `sockeye_engine_new` and not freed.
pub unsafe fn on_engine<T: From<i32>>(
    engine: *const sockeye_engine,
    run: impl FnOnce(&sockeye_engine) -> Outcome<T>,
) -> T {
    // SAFETY: the caller's promise.
    let Some(engine) = (unsafe { engine.as_ref() }) else { return guard(|| Err(null("engine"))) };
    if engine.forks != sys::forks() {
        return T::from(unusable(engine.forks));
    }
    guard(|| run(engine))
}

/// What `sockeye_engine.forks` is while the engine is being freed.
pub const FREED: usize = usize::MAX;

/// Why an engine cannot be used.
#[cold]
fn unusable(forks: usize) -> i32 {
    if forks == FREED {
        remember("the engine is being freed");
        return SOCKEYE_ERR_CLOSED;
    }
    forked("engine")
}

/// Something of the parent process cannot be used here.
#[cold]
pub fn forked(what: &str) -> i32 {
    remember(&format!("the {what} was made in the parent of this process; make another one here"));
    SOCKEYE_ERR_FORKED
}

/// An engine that can be used here, for functions that have no code to return.
///
/// # Safety
/// As [`on_engine`].
pub unsafe fn usable<'a>(engine: *const sockeye_engine) -> Option<&'a sockeye_engine> {
    // SAFETY: the caller's promise.
    unsafe { engine.as_ref() }.filter(|engine| engine.forks == sys::forks())
}

/// A pointer that must not be NULL is.
pub fn null(what: &str) -> Error {
    Error::new(Code::Invalid, format!("{what} is NULL"))
}

/// A place for a result.
///
/// # Safety
/// `out` is NULL or valid for writing.
pub unsafe fn place<'a, T>(out: *mut T, what: &str) -> Outcome<&'a mut T> {
    // SAFETY: the caller's promise; the host does not touch it during the call.
    unsafe { out.as_mut() }.ok_or_else(|| null(what))
}

/// Bytes; NULL is allowed for none.
///
/// # Safety
/// `ptr` is NULL or valid for `len` bytes during the call.
pub unsafe fn bytes<'a>(ptr: *const u8, len: usize, what: &str) -> Outcome<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if ptr.is_null() {
        return Err(Error::new(Code::Invalid, format!("{what} is NULL, its length {len}")));
    }
    if len > isize::MAX as usize {
        return Err(Error::new(Code::TooBig, format!("{what} has {len} bytes")));
    }
    // SAFETY: not NULL, and the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(ptr, len) })
}

/// Text; NULL is allowed for the empty one.
///
/// # Safety
/// As [`bytes`].
pub unsafe fn text<'a>(ptr: *const c_char, len: usize, what: &str) -> Outcome<&'a str> {
    // SAFETY: the caller's promise.
    utf8(unsafe { bytes(ptr.cast(), len, what) }?, what)
}

fn utf8<'a>(bytes: &'a [u8], what: &str) -> Outcome<&'a str> {
    std::str::from_utf8(bytes)
        .map_err(|error| Error::new(Code::BadUtf8, format!("{what} is not UTF-8 at byte {}", error.valid_up_to())))
}

/// As many elements as need no memory: the attachments of most events, the rooms of most targets.
const FEW: usize = 4;

/// Runs `run` with an array of what `convert` makes of byte strings.
///
/// # Safety
/// `list` is NULL or valid for `count` elements, each of which is as in [`bytes`].
unsafe fn with_list<'a, T: Copy + Default, R>(
    list: (*const sockeye_bytes, usize),
    what: &str,
    convert: impl Fn(&'a [u8]) -> Outcome<T>,
    run: impl FnOnce(&[T]) -> Outcome<R>,
) -> Outcome<R> {
    let (list, count) = list;
    if count == 0 {
        return run(&[]);
    }
    if list.is_null() {
        return Err(Error::new(Code::Invalid, format!("{what} is NULL, its count {count}")));
    }
    if count > isize::MAX as usize / size_of::<sockeye_bytes>() {
        return Err(Error::new(Code::TooBig, format!("{what} has {count} elements")));
    }
    // SAFETY: not NULL, and the caller's promise.
    let list = unsafe { std::slice::from_raw_parts(list, count) };
    // SAFETY: the caller's promise about each element.
    let item = |item: &sockeye_bytes| convert(unsafe { bytes(item.ptr.cast(), item.len, what) }?);
    let mut few = [T::default(); FEW];
    let Some(items) = few.get_mut(..count) else {
        return run(&list.iter().map(item).collect::<Outcome<Vec<T>>>()?);
    };
    for (to, from) in items.iter_mut().zip(list) {
        *to = item(from)?;
    }
    run(items)
}

/// Runs `run` with an array of byte strings: attachments.
///
/// # Safety
/// As [`with_list`].
pub unsafe fn with_bytes<R>(
    list: (*const sockeye_bytes, usize),
    what: &str,
    run: impl FnOnce(&[&[u8]]) -> Outcome<R>,
) -> Outcome<R> {
    // SAFETY: the caller's promise.
    unsafe { with_list(list, what, Ok, run) }
}

/// Runs `run` with an array of texts: rooms.
///
/// # Safety
/// As [`with_list`].
pub unsafe fn with_texts<R>(
    list: (*const sockeye_bytes, usize),
    what: &str,
    run: impl FnOnce(&[&str]) -> Outcome<R>,
) -> Outcome<R> {
    // SAFETY: the caller's promise.
    unsafe { with_list(list, what, |item| utf8(item, what), run) }
}

/// A struct that the host gave.
pub enum Given<'a, T> {
    /// As this library knows it: used where it is.
    Whole(&'a T),
    /// Of another length: copied, so that it is whole.
    Part(Box<T>),
}

impl<T> std::ops::Deref for Given<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Given::Whole(value) => value,
            Given::Part(value) => value,
        }
    }
}

/// A struct that starts with its `size`: fields that the host's header did not know are zero, a tail that this library does not
/// know must be.
///
/// # Safety
/// `ptr` is NULL or valid for as many bytes as its first `uint32_t` says, and `T` is `repr(C)` plain data for which zeroes are valid.
/// The host does not change the struct during the call.
pub unsafe fn sized<'a, T: Copy>(ptr: *const T, what: &str) -> Outcome<Given<'a, T>> {
    if ptr.is_null() {
        return Err(null(what));
    }
    // SAFETY: every struct of the ABI starts with its size.
    let size = unsafe { ptr.cast::<u32>().read_unaligned() } as usize;
    if size == size_of::<T>() && ptr.is_aligned() {
        // SAFETY: the struct is whole and aligned, and nobody changes it.
        return Ok(Given::Whole(unsafe { &*ptr }));
    }
    // SAFETY: the caller's promise.
    unsafe { completed(ptr, size, what) }.map(|value| Given::Part(Box::new(value)))
}

/// # Safety
/// `ptr` is valid for `size` bytes; zeroes are valid for `T`.
#[cold]
unsafe fn completed<T: Copy>(ptr: *const T, size: usize, what: &str) -> Outcome<T> {
    // SAFETY: the caller's promise.
    let given = unsafe { std::slice::from_raw_parts(ptr.cast::<u8>(), size) };
    if size < size_of::<u64>() {
        return Err(Error::new(Code::Invalid, format!("{what}.size is {size}; set it to sizeof")));
    }
    if given.iter().skip(size_of::<T>()).any(|byte| *byte != 0) {
        let text =
            format!("{what} has {size} bytes and sets some beyond the {} that this library knows", size_of::<T>());
        return Err(Error::new(Code::Version, text));
    }
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: copies no more than either side has; zeroes are valid for the rest.
    unsafe {
        let len = size.min(size_of::<T>());
        std::ptr::copy_nonoverlapping(ptr.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), len);
        Ok(value.assume_init())
    }
}

/// Writes a struct for a host that knows `size` bytes of it.
///
/// # Safety
/// `out` is NULL or valid for writing `size` bytes, and `T` is `repr(C)` plain data without padding that matters.
pub unsafe fn write_sized<T: Copy>(out: *mut T, size: usize, value: &T, what: &str) -> Outcome<()> {
    if out.is_null() {
        return Err(null(what));
    }
    if size < size_of::<u64>() {
        return Err(Error::new(Code::Invalid, format!("the size of {what} is {size}; pass its sizeof")));
    }
    // SAFETY: the caller's promise for `out`; `value` is whole; the tail that we do not know is zeroed.
    unsafe {
        let known = size.min(size_of::<T>());
        std::ptr::copy_nonoverlapping((value as *const T).cast::<u8>(), out.cast::<u8>(), known);
        std::ptr::write_bytes(out.cast::<u8>().add(known), 0, size - known);
    }
    Ok(())
}

/// Runs a callback of the host's that comes in the midst of a call: no engine can be freed in it.
pub fn within_host(call: impl FnOnce()) {
    IN_HOST.set(IN_HOST.get() + 1);
    call();
    IN_HOST.set(IN_HOST.get() - 1);
}

/// Whether this thread is in such a callback.
pub fn is_within_host() -> bool {
    IN_HOST.get() > 0
}

/// The host's value for callbacks, with the function that is called exactly once when nothing needs it any more.
pub struct User {
    pub value: *mut std::ffi::c_void,
    pub drop: super::types::sockeye_drop_fn,
}

// SAFETY: the pointer is only handed back to the host, which was told that callbacks come from engine threads.
unsafe impl Send for User {}
// SAFETY: as above; the library never looks behind it.
unsafe impl Sync for User {}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the host gave both together for this call.
            within_host(|| unsafe { drop(self.value) });
        }
    }
}
