"""Two servers in one cluster, with half of the clients each: two of ours against two official ones, on the same broker.

CPU is that of both servers together; the broker, which runs on their CPU, is not counted.
"""

import json
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace

import brokers
import report
import servers

# The load generator's part of each scenario, and the figure to reach: at most so much of what the official servers need.
SCENARIOS = {
    "broadcast": (["broadcast", "--clients", "1000"], "cpu_us_per_message", 1 / 3),
    "relay": (["relay", "--rate", "500"], "p99_us", 1),
    "fetch": (["fetch", "--clients", "10000"], "cpu_us_per_message", 1 / 3),
    "quiet": (["hold", "--clients", "2"], "server_cores_busy", None),
}
TITLES = {
    "broadcast": "broadcast to 500 clients on each server, 4 outstanding, 64 B: CPU, µs for each delivery",
    "relay": "emit to a room on the other server, 500 a second",
    "fetch": "fetch of 5,000 sockets on each server: CPU, µs for each",
    "quiet": "an adapter and no traffic: share of a core, both servers",
}
# Official servers notify PostgreSQL over several connections, which changes the order of what is outstanding. Their deliveries are counted
# all the same, none lost and none twice; ours keep their order everywhere.
CHANGES_ORDER = {("postgres", "node", "broadcast")}
# For servers to hear of each other.
MEETING_S = 1
# Silence is measured for so long at least.
QUIET_S = 20

OURS, THEIRS = "sockeye-inline", "node"


def run(load, options):
    """Measures all that is asked for; the exit status."""
    started = [servers.build(name, options.build_dir) for name in (OURS, THEIRS)]
    runs = []
    for rep in range(1, options.reps + 1):
        for kind in options.cluster:
            for scenario in options.cluster_scenarios:
                for server in started:
                    result = measure(load, server, kind, scenario, options)
                    runs.append({**result, "server": server.name, "kind": kind, "scenario": scenario, "rep": rep})
                    progress(runs[-1])
    print(markdown(runs, options))
    if options.json:
        options.json.write_text(json.dumps({"runs": runs}, indent=1, ensure_ascii=False) + "\n")
    return 1 if any("violation" in each for each in runs) else 0


def measure(load, server, kind, scenario, options):
    """One run on a fresh broker and two fresh servers: what the load generator printed, or `violation`."""
    with ExitStack() as stack:
        broker = stack.enter_context(brokers.KINDS[kind]())
        environment = {**server.environment, "ADAPTER": kind, **broker.environment}
        pair = [stack.enter_context(servers.Running(replace(server, environment=environment))) for _ in range(2)]
        time.sleep(MEETING_S)
        command = ["taskset", "-c", str(servers.LOAD_CPU), str(load), *SCENARIOS[scenario][0]]
        for each in pair:
            command += ["--port", str(each.port), "--pid", str(each.pid)]
        if (kind, server.name, scenario) in CHANGES_ORDER:
            command += ["--order", "any"]
        seconds = max(options.seconds, QUIET_S) if scenario == "quiet" else options.seconds
        command += ["--seconds", str(seconds), "--warmup", str(options.warmup)]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode == 1:
        return {"violation": result.stderr.strip()}
    if result.returncode != 0:
        raise SystemExit(f"{scenario} over {kind} on {server.name}: {result.stderr.strip()}")
    return json.loads(result.stdout)


def progress(each):
    keys = ("violation", "cpu_us_per_message", "rate", "p50_us", "p99_us", "server_cores_busy")
    text = ", ".join(f"{key} {each[key]}" for key in keys if key in each)
    print(f"{each['rep']} {each['kind']} {each['scenario']:9} {each['server']:14} {text}", flush=True)


def markdown(runs, options):
    """A table for each kind, with the ratios and whether the figures are reached."""
    parts = []
    for kind in options.cluster:
        rows = []
        results = report.Results([each for each in runs if each["kind"] == kind], [OURS, THEIRS])
        for scenario in options.cluster_scenarios:
            _, key, limit = SCENARIOS[scenario]
            keys = ("p50_us", "p99_us") if scenario == "relay" else (key,)
            rows += [row(results, scenario, each, limit) for each in keys]
        parts.append(report.table(f"Two servers over {kind} (medians)", ["scenario", OURS, THEIRS, "ratio", "figure"], rows))
    parts += [f"- {each['server']}, {each['kind']}, {each['scenario']}: {each['violation']}" for each in runs if "violation" in each]
    return "\n\n".join(parts)


def row(results, scenario, key, limit):
    ours, theirs = results.median(scenario, OURS, key), results.median(scenario, THEIRS, key)
    ratio = ours / theirs if ours is not None and theirs else None
    figure = ""
    if limit and ratio is not None:
        figure = f"≤ {report.number(limit)}: " + ("reached" if ratio <= limit else "**not reached**")
    title = TITLES[scenario] + (f", {key}" if scenario == "relay" else "")
    return [title, *(share(value, key) for value in (ours, theirs)), report.number(ratio), figure]


def share(value, key):
    return f"{value:.3%}" if key == "server_cores_busy" and value is not None else report.number(value)
