#!/usr/bin/env python3
"""Measures sockeye against the floor and its peers; see README.md beside this file.

Builds everything, then for each repetition puts each scenario on each server in turn: a fresh process pinned to one CPU,
the load generator pinned to another. Prints medians as Markdown. Exit status 1 if a server broke a message.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import brokers
import cluster
import hold
import report
import servers

SCENARIOS = ("echo", "binary", "broadcast", "rooms", "rooms-1", "polling", "idle", "cycles", "latency", "hold")
# Scenarios that are the load generator's with options.
VARIANTS = {"rooms": ["rooms", "--in-flight", "4"], "rooms-1": ["rooms", "--in-flight", "1"]}
# Latency tells nothing about CPU and everything about the machine, and holding connections takes minutes: only on request.
DEFAULT_SCENARIOS = SCENARIOS[:-2]
# Scenarios with as many connections as IDLE_CONNECTIONS.
CROWDED = ("idle", "cycles")

IDLE_CONNECTIONS = 10_000
# Descriptors that a process needs besides its connections.
SPARE_DESCRIPTORS = 200

# A run during which others used more of either CPU than this share is repeated, up to ATTEMPTS times in all.
FOREIGN_SHARE_MAX = 0.04
ATTEMPTS = 3

VIOLATION_STATUS = 1


def main():
    options = parse_options()
    descriptors = raise_descriptor_limit()
    load = servers.build_load(options.build_dir)
    if options.cluster:
        return cluster.run(load, options)
    started = build_servers(options)
    idle_connections = min(IDLE_CONNECTIONS, descriptors - SPARE_DESCRIPTORS)
    runs = []
    for rep in range(1, options.reps + 1):
        for scenario in options.scenarios:
            for server in started:
                if scenario == "hold":
                    run = hold.measure(load, server, descriptors - SPARE_DESCRIPTORS, options.hold_seconds)
                else:
                    extra = ["--clients", str(idle_connections)] if scenario in CROWDED else []
                    run = measure(load, server, scenario, options, extra)
                runs.append({**run, "server": server.name, "scenario": scenario, "rep": rep})
                progress(runs[-1])
    results = report.Results(runs, [server.name for server in started])
    print(report.markdown(results))
    if options.json:
        options.json.write_text(json.dumps(as_json(options, results), indent=1, ensure_ascii=False) + "\n")
    return 1 if results.violations() else 0


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=5, help="repetitions of everything (5)")
    parser.add_argument("--seconds", type=float, default=2, help="measured seconds of a run (2)")
    parser.add_argument("--warmup", type=float, default=1, help="seconds before the measurement (1)")
    parser.add_argument("--hold-seconds", type=float, default=300, help="how long `hold` holds its connections (300)")
    parser.add_argument("--scenarios", type=names(SCENARIOS), default=DEFAULT_SCENARIOS, help=f"of {','.join(SCENARIOS)}")
    known = tuple(servers.BUILDERS)
    parser.add_argument("--servers", type=names(known), default=servers.USUAL, help=f"of {','.join(known)}")
    kinds, scenarios = tuple(brokers.KINDS), tuple(cluster.SCENARIOS)
    parser.add_argument("--cluster", type=names(kinds), default=(), help=f"measure pairs of servers instead, over {','.join(kinds)}")
    parser.add_argument("--cluster-scenarios", type=names(scenarios), default=scenarios, help=f"of {','.join(scenarios)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run, the medians and the figures there")
    default = servers.ROOT / "target" / "bench"
    parser.add_argument("--build-dir", type=Path, default=default, help="where programs are built (target/bench)")
    return parser.parse_args()


def names(known):
    """A converter for a list of known names, separated by commas, which keeps our order."""

    def convert(text):
        wanted = text.split(",")
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not one of {', '.join(known)}")
        return tuple(name for name in known if name in wanted)

    return convert


def raise_descriptor_limit():
    """Lets us and the programs that we start open as many descriptors as allowed; returns the number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def build_servers(options):
    started = []
    for name in options.servers:
        try:
            started.append(servers.build(name, options.build_dir))
        except servers.Unavailable as reason:
            print(f"{name} is skipped: {reason}", file=sys.stderr)
    return started


def measure(load, server, scenario, options, extra):
    """One run on a fresh server: what the load generator printed, or `violation`; `disturbed` if it never had peace."""
    for _ in range(ATTEMPTS):
        with servers.Running(server, ahead=scenario == "latency") as running:
            command = ["taskset", "-c", str(servers.LOAD_CPU), str(load), *VARIANTS.get(scenario, [scenario])]
            command += ["--port", str(running.port), "--pid", str(running.pid), *extra]
            command += ["--seconds", str(options.seconds), "--warmup", str(options.warmup)]
            watch = Watch(running.pid)
            result = subprocess.run(command, capture_output=True, text=True)
            foreign = watch.foreign_share()
        if result.returncode == VIOLATION_STATUS:
            return {"violation": result.stderr.strip()}
        if result.returncode != 0:
            raise SystemExit(f"{scenario} on {server.name}: {result.stderr.strip()}")
        run = {**json.loads(result.stdout), "foreign_share": round(foreign, 3)}
        if foreign <= FOREIGN_SHARE_MAX:
            return run
    return {**run, "disturbed": True}


class Watch:
    """Tells how much of the two CPUs went to neither the server nor the load generator since it was made."""

    def __init__(self, pid):
        self.pid = pid
        self.start = time.monotonic()
        self.server_s = cpu_seconds(pid)
        self.load_s = children_seconds()
        self.busy_s = {cpu: busy_seconds(cpu) for cpu in (servers.SERVER_CPU, servers.LOAD_CPU)}

    def foreign_share(self):
        """The larger of the two shares, 0 to 1, exact to about a hundredth."""
        elapsed = time.monotonic() - self.start
        used = {
            servers.SERVER_CPU: cpu_seconds(self.pid) - self.server_s,
            servers.LOAD_CPU: children_seconds() - self.load_s,
        }
        return max((busy_seconds(cpu) - self.busy_s[cpu] - used[cpu]) / elapsed for cpu in used)


def cpu_seconds(pid):
    """CPU time of all threads of a process."""
    total_ns = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total_ns += int(path.read_text().split()[0])
    return total_ns / 1e9


def children_seconds():
    """CPU time of the programs that we started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def busy_seconds(cpu):
    """Time that a CPU was not idle, or was taken by the hypervisor, since the machine started."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{cpu} "):
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    raise SystemExit(f"the benchmark needs two CPUs; this machine has no CPU {cpu}")


def progress(run):
    if "violation" in run:
        outcome = run["violation"]
    elif run["scenario"] == "idle":
        outcome = f"{run['kib_per_connection']:.2f} KiB, {run['cpu_us_per_connection']:.0f} µs a connection"
    elif run["scenario"] == "cycles":
        outcome = f"KiB after each: {run['rss_kib_after']}"
    elif run["scenario"] == "hold":
        outcome = f"{run['connections']:,} held, {run['rss_kib'] / 1024:.0f} MiB, {run['server_cores_busy']:.2%} of a core"
    else:
        outcome = f"{run['cpu_us_per_message']:.2f} µs, {run['rate']:,} messages/s, {run['server_cores_busy']:.2f} of the CPU"
    mark = " (disturbed)" if run.get("disturbed") else ""
    print(f"{run['rep']} {run['scenario']:9} {run['server']:14} {outcome}{mark}", file=sys.stderr, flush=True)


def as_json(options, results):
    medians = {}
    for scenario in options.scenarios:
        key = {"idle": "kib_per_connection", "hold": "server_cores_busy"}.get(scenario, "cpu_us_per_message")
        medians[scenario] = {server: results.median(scenario, server, key) for server in results.servers}
    figures = [{"figure": text, "measured": ratio, "reached": reached} for text, ratio, reached in [*results.figures(), *results.scale_figures()]]
    return {
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "options": {"reps": options.reps, "seconds": options.seconds, "warmup": options.warmup},
        "medians": medians,
        "figures": figures,
        "runs": results.runs,
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (servers.BuildError, servers.Unavailable) as error:
        sys.exit(f"run.py: {error}")
