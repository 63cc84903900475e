//! What the kernel says about the server: CPU time and memory, from `/proc`.

use std::fs;

use crate::failure::Failure;

/// The server's processes.
#[derive(Clone)]
pub struct Server {
    pub pids: Vec<u32>,
}

impl Server {
    /// CPU time of all threads that live now, in nanoseconds: the first field of `schedstat`, user and system together,
    /// exact to a scheduler tick. A thread that ends takes its time with it: servers under test have a fixed set of
    /// threads during a measurement.
    pub fn cpu_ns(&self) -> Result<u64, Failure> {
        let mut total = 0;
        for pid in &self.pids {
            for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(gone(*pid))? {
                let path = task?.path().join("schedstat");
                let text = fs::read_to_string(&path).unwrap_or_default();
                let first = text.split_ascii_whitespace().next();
                total += first.and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        Ok(total)
    }

    /// Resident memory of all processes, in KiB.
    pub fn rss_kib(&self) -> Result<u64, Failure> {
        let mut total = 0;
        for pid in &self.pids {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).map_err(gone(*pid))?;
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
            total += kib.unwrap_or(0);
        }
        Ok(total)
    }
}

fn gone(pid: u32) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::Run(format!("cannot read /proc/{pid}: {error}"))
}
