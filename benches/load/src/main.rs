//! `load SCENARIO --port PORT --pid PID [...]`: puts one load on a Socket.IO server, checks every message, and prints one
//! line of JSON. What the scenarios are and what the numbers mean is told in `benches/README.md`.
//!
//! | module | |
//! | --- | --- |
//! | [`options`] | the command line |
//! | [`net`], [`sys`] | connections, and a loop that spins on epoll |
//! | [`websocket`], [`http`] | the client half of both protocols |
//! | [`message`] | messages with a stamp, and what to say about a wrong one |
//! | [`join`], [`latencies`] | handshakes; how long answers took |
//! | [`run`], [`mod@proc`] | warm-up, measured window, drain; CPU time and memory of the server |
//! | [`echo`], [`fanout`], [`polling`], [`relay`], [`scale`] | the scenarios |
//!
//! Exit status: 0, 1 if the server lost, duplicated, reordered or altered a message, 2 if the run could not be made.

mod echo;
mod failure;
mod fanout;
mod http;
mod join;
mod latencies;
mod message;
mod net;
mod options;
mod polling;
mod proc;
mod relay;
mod run;
mod scale;
mod sys;
mod websocket;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use echo::Echo;
use failure::Failure;
use fanout::{Fanout, room_auth};
use latencies::Latencies;
use net::Net;
use options::{Options, ROOMS, Scenario};
use polling::Polling;
use relay::{Relay, pair_auth};
use run::{Measured, Workload};

fn main() -> ExitCode {
    let result = Options::from_args(std::env::args().skip(1)).and_then(|options| measure(&options));
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Runs the scenario and returns the line to print.
fn measure(options: &Options) -> Result<String, Failure> {
    let servers = options.ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port)));
    let mut net = Net::new(servers.collect())?;
    let (clients, bytes) = (options.clients, options.payload);
    let in_flight = options.in_flight;
    match options.scenario {
        Scenario::Echo => measure_joined(&mut net, options, &mut Echo::text(clients, in_flight, bytes)),
        Scenario::Binary => measure_joined(&mut net, options, &mut Echo::binary(clients, in_flight, bytes)),
        Scenario::Latency => {
            let mut paced = Echo::paced(clients, options.rate, bytes);
            let line = measure_joined(&mut net, options, &mut paced)?;
            Ok(with_percentiles(line, paced.latencies()))
        }
        Scenario::Relay => {
            join::join(&mut net, clients, pair_auth)?;
            let mut relay = Relay::new(clients, options.rate, bytes);
            let line = measure_ready(&mut net, options, &mut relay)?;
            Ok(with_percentiles(line, relay.latencies()))
        }
        Scenario::Fetch => measure_joined(&mut net, options, &mut Echo::fetch(clients)),
        Scenario::Broadcast => {
            let mut all = Fanout::broadcast(clients, in_flight as usize, bytes).in_any_order(options.any_order);
            measure_joined(&mut net, options, &mut all)
        }
        Scenario::Rooms => {
            join::join(&mut net, clients, |id| room_auth(id, ROOMS))?;
            let mut rooms = Fanout::rooms(clients, ROOMS, in_flight as usize, bytes);
            measure_ready(&mut net, options, &mut rooms)
        }
        Scenario::Polling => {
            let mut polling = Polling::join(&mut net, clients, bytes)?;
            measure_ready(&mut net, options, &mut polling)
        }
        Scenario::Idle => scale::idle(&mut net, options),
        Scenario::Cycles => scale::cycles(&mut net, options),
        Scenario::Hold => scale::hold(&mut net, options),
    }
}

fn measure_joined(net: &mut Net, options: &Options, workload: &mut impl Workload) -> Result<String, Failure> {
    join::join(net, options.clients, |_| String::new())?;
    measure_ready(net, options, workload)
}

fn measure_ready(net: &mut Net, options: &Options, workload: &mut impl Workload) -> Result<String, Failure> {
    let measured = run::run(net, workload, options.plan, &options.server)?;
    Ok(line(options.scenario.name(), &measured))
}

fn line(scenario: &str, measured: &Measured) -> String {
    let messages = measured.messages as f64;
    format!(
        "{{\"scenario\":\"{scenario}\",\"messages\":{},\"seconds\":{:.3},\"rate\":{:.0},\
         \"cpu_us_per_message\":{:.4},\"server_cores_busy\":{:.3},\"rss_kib\":{}}}",
        measured.messages,
        measured.seconds,
        messages / measured.seconds,
        measured.cpu_us / messages.max(1.0),
        measured.cpu_us / 1e6 / measured.seconds,
        measured.rss_kib
    )
}

/// The line with members for the percentiles of latencies, and how many were left out.
fn with_percentiles(line: String, latencies: &mut Latencies) -> String {
    let (sorted_ns, left_out) = latencies.sorted_ns();
    let mut text = line;
    text.pop();
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
        let last = sorted_ns.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        let ns = sorted_ns.get(index).copied().unwrap_or_default();
        let us = ns as f64 / 1000.0;
        let _ = write!(text, ",\"{name}_us\":{us:.1}");
    }
    let _ = write!(text, ",\"left_out\":{left_out}}}");
    text
}
