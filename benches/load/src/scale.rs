//! What many connections that do nothing cost: memory, the handshakes, the heartbeats.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::join;
use crate::net::{Handler, Net, Outbox};
use crate::options::Options;
use crate::websocket;

/// Time for allocators and queues to come to rest before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// Rounds of connecting and closing all.
const CYCLES: usize = 3;

/// Joins the clients, waits, and tells what they cost.
pub fn idle(net: &mut Net, options: &Options) -> Result<String, Failure> {
    let server = &options.server;
    let (rss_before, cpu_before) = (server.rss_kib()?, server.cpu_ns()?);
    let start = Instant::now();
    join::join(net, options.clients, |_| String::new())?;
    let seconds = start.elapsed().as_secs_f64();
    stay(net, SETTLE)?;
    let (rss_after, cpu_after) = (server.rss_kib()?, server.cpu_ns()?);
    let clients = options.clients as f64;
    Ok(format!(
        "{{\"scenario\":\"idle\",\"connections\":{},\"seconds\":{seconds:.3},\"rate\":{:.0},\
         \"cpu_us_per_connection\":{:.2},\"rss_before_kib\":{rss_before},\"rss_kib\":{rss_after},\
         \"kib_per_connection\":{:.3}}}",
        options.clients,
        clients / seconds,
        cpu_after.saturating_sub(cpu_before) as f64 / 1000.0 / clients,
        rss_after.saturating_sub(rss_before) as f64 / clients
    ))
}

/// Connects all and closes all, several times, and tells the memory that remains each time.
pub fn cycles(net: &mut Net, options: &Options) -> Result<String, Failure> {
    let mut rss_kib = Vec::new();
    for _ in 0..CYCLES {
        join::join(net, options.clients, |_| String::new())?;
        stay(net, SETTLE)?;
        net.close_all();
        stay(net, SETTLE)?;
        rss_kib.push(options.server.rss_kib()?);
    }
    Ok(format!("{{\"scenario\":\"cycles\",\"connections\":{},\"rss_kib_after\":{rss_kib:?}}}", options.clients))
}

/// Joins the clients and keeps them for the measured time; one that the server closes is a violation.
pub fn hold(net: &mut Net, options: &Options) -> Result<String, Failure> {
    let server = &options.server;
    join::join(net, options.clients, |_| String::new())?;
    stay(net, options.plan.warmup)?;
    let (cpu_before, start) = (server.cpu_ns()?, Instant::now());
    let pings = stay(net, options.plan.seconds)?;
    let (cpu_after, seconds) = (server.cpu_ns()?, start.elapsed().as_secs_f64());
    Ok(format!(
        "{{\"scenario\":\"hold\",\"connections\":{},\"seconds\":{seconds:.3},\"pings\":{pings},\
         \"server_cores_busy\":{:.5},\"rss_kib\":{}}}",
        options.clients,
        cpu_after.saturating_sub(cpu_before) as f64 / 1e9 / seconds,
        server.rss_kib()?
    ))
}

/// Answers pings for a while; how many there were.
fn stay(net: &mut Net, time: Duration) -> Result<u64, Failure> {
    let (mut silent, start) = (Silent { pings: 0 }, Instant::now());
    while start.elapsed() < time {
        net.turn(&mut silent)?;
    }
    Ok(silent.pings)
}

/// Answers pings and takes nothing else.
struct Silent {
    pings: u64,
}

impl Handler for Silent {
    fn bytes(&mut self, id: usize, data: &[u8], out: &mut Outbox) -> Result<usize, Failure> {
        self.pings += 1;
        websocket::deliver(id, data, out, |frame, _| {
            let text = String::from_utf8_lossy(frame.payload);
            let what = format!("connection {id}: unexpected while idle: {text:?}");
            Err(Failure::Violation(what))
        })
    }
}
