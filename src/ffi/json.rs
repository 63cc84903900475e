//! Help with JSON for hosts without a library of their own: a slice by its pointer, a string and back.

use std::ffi::c_char;

use super::boundary::*;
use super::constants::*;
use super::types::*;
use crate::proto::json;
use crate::server::{Code, Error};

/// The part of a JSON text that an RFC 6901 pointer names (`/0/name`), as a slice of that text: `*out` and `*out_len`. OK with NULL and
/// 0 if it is not there. BAD_JSON if the text is no JSON, INVALID if the pointer is none.
///
/// # Safety
/// `json` and `pointer` are NULL or valid for their lengths; `out` and `out_len` are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_json_get(
    json: *const c_char,
    len: usize,
    pointer: *const c_char,
    pointer_len: usize,
    out: *mut *const c_char,
    out_len: *mut usize,
) -> sockeye_result {
    guard(|| {
        // SAFETY: the caller's promises.
        let (json, pointer, out, out_len) = unsafe {
            let (json, pointer) = (text(json, len, "json")?, text(pointer, pointer_len, "pointer")?);
            (json, pointer, place(out, "out")?, place(out_len, "out_len")?)
        };
        let found = json::get(json, pointer).map_err(|error| {
            let code = if error == json::JsonError::BadPointer { Code::Invalid } else { Code::BadJson };
            Error::new(code, format!("json: {error}"))
        })?;
        (*out, *out_len) = found.map_or((std::ptr::null(), 0), |found| (found.as_ptr().cast(), found.len()));
        Ok(SOCKEYE_OK)
    })
}

/// Decodes a JSON string into `buf`; its length in bytes. If that is more than `cap`, nothing was written. A zero follows if there is
/// room for it.
///
/// # Safety
/// `json` is NULL or valid for `len` bytes; `buf` is NULL or valid for writing `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_json_string(json: *const c_char, len: usize, buf: *mut c_char, cap: usize) -> i64 {
    guard(|| {
        // SAFETY: the caller's promises.
        let json = unsafe { text(json, len, "json") }?;
        let string = json::string(json).map_err(|error| Error::new(Code::BadJson, format!("json: {error}")))?;
        // SAFETY: the caller's promises.
        unsafe { fill(string.as_bytes(), buf, cap) }
    })
}

/// Encodes text as a JSON string, quotes included, into `buf`; its length in bytes, with the rules of `sockeye_json_string`.
///
/// # Safety
/// `text` is NULL or valid for `len` bytes; `buf` is NULL or valid for writing `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_json_quote(plain: *const c_char, len: usize, buf: *mut c_char, cap: usize) -> i64 {
    guard(|| {
        // SAFETY: the caller's promises.
        let plain = unsafe { text(plain, len, "plain") }?;
        let mut quoted = Vec::with_capacity(plain.len() + 2);
        json::write_string(plain, &mut quoted);
        // SAFETY: the caller's promises.
        unsafe { fill(&quoted, buf, cap) }
    })
}

/// # Safety
/// `buf` is NULL or valid for writing `cap` bytes.
unsafe fn fill(bytes: &[u8], buf: *mut c_char, cap: usize) -> Outcome<i64> {
    if buf.is_null() && cap > 0 {
        return Err(null("buf"));
    }
    if bytes.len() <= cap && !buf.is_null() {
        // SAFETY: there is room for all, and the zero is written only if there is room for it.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), buf.cast::<u8>(), bytes.len());
            if bytes.len() < cap {
                *buf.add(bytes.len()) = 0;
            }
        }
    }
    Ok(bytes.len() as i64)
}
