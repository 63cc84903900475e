//! Why a run ends without a result.

use std::{fmt, io};

/// A violation is the server's fault, anything else is the run's.
#[derive(Debug)]
pub enum Failure {
    /// The server lost, duplicated, reordered or altered a message, or broke the protocol: what and where.
    Violation(String),
    /// The run could not be set up or measured.
    Run(String),
}

impl Failure {
    /// The exit status of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Violation(_) => 1,
            Self::Run(_) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(what) => write!(f, "violation: {what}"),
            Self::Run(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Run(error.to_string())
    }
}
