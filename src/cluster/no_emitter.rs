//! What stands for emitters in a build without any broker: nobody can have one.

use std::time::Duration;

use crate::server::{Emission, Error};

/// As in `emitter`.
#[derive(Clone, Copy)]
pub struct Address<'a> {
    pub nsp: &'a str,
    pub rooms: &'a [&'a str],
    pub except: &'a [&'a str],
}

/// As in `emitter`.
pub struct Progress {
    pub is_up: bool,
    pub published: u64,
    pub unconfirmed: u64,
    pub dropped: u64,
    pub downs: u64,
}

/// There is none.
pub enum Emitter {}

impl Emitter {
    pub fn emit(&self, _: &Address<'_>, _: &Emission<'_>) -> Result<(), Error> {
        match *self {}
    }

    pub fn join(&self, _: &Address<'_>, _: &[&str]) -> Result<(), Error> {
        match *self {}
    }

    pub fn leave(&self, _: &Address<'_>, _: &[&str]) -> Result<(), Error> {
        match *self {}
    }

    pub fn disconnect(&self, _: &Address<'_>, _: bool) -> Result<(), Error> {
        match *self {}
    }

    pub fn server_emit(&self, _: &str, _: &Emission<'_>) -> Result<(), Error> {
        match *self {}
    }

    pub fn flush(&self, _: Duration) -> Result<(), Error> {
        match *self {}
    }

    pub fn progress(&self) -> Progress {
        match *self {}
    }

    pub fn waiting(&self) -> (usize, usize) {
        match *self {}
    }

    pub fn reason(&self) -> String {
        match *self {}
    }

    pub fn close(&self, _: Duration) -> bool {
        match *self {}
    }

    pub fn end(&self, _: Duration) {
        match *self {}
    }
}
