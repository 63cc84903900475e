//! What a call of the host can be told.

use std::borrow::Cow;
use std::fmt;

/// The codes of the C ABI; `ffi` tests that they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Invalid = -1,
    Stale = -2,
    Gone = -3,
    Closed = -4,
    Full = -5,
    TooBig = -6,
    Timeout = -7,
    BadJson = -8,
    BadUtf8 = -9,
    Addr = -10,
    Io = -11,
    Unsupported = -13,
    Version = -14,
    Deadlock = -15,
    Internal = -18,
}

/// A code and a sentence that says what, where and, if one was passed, the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub text: Cow<'static, str>,
}

impl Error {
    /// An error.
    pub fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Error {
        Error { code, text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
