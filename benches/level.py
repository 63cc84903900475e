#!/usr/bin/env python3
"""Whether a server's memory stays level: over 100,000 clients that come and go, and over 10 million messages.

Prints the server's resident memory after each round, and how the last rounds compare with the first ones after a warm-up.
Exit status 1 if it has grown by more than GROWTH_MAX, or if a message was broken. See README.md beside this file.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import run
import servers

# Clients in a round.
CLIENTS = 10_000
# The first rounds fill pools, caches and a collector's heap.
WARM_UP_SHARE = 0.2
# Allocators and collectors keep more or less from round to round; what leaks grows by more in so many rounds.
GROWTH_MAX = 1.10


def main():
    options = parse_options()
    descriptors = run.raise_descriptor_limit()
    load = servers.build_load(options.build_dir)
    clients = min(CLIENTS, descriptors - run.SPARE_DESCRIPTORS)
    failed = False
    for name in options.servers:
        server = servers.build(name, options.build_dir)
        failed |= report(name, "clients that came and went", comings(load, server, clients, options.connections))
        failed |= report(name, "messages", messages(load, server, options.messages))
    return 1 if failed else 0


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=run.names(tuple(servers.BUILDERS)), default=("sockeye-node", "sockeye-python"), help="which (sockeye-node,sockeye-python)")
    parser.add_argument("--connections", type=int, default=100_000, help="clients that come and go (100,000)")
    parser.add_argument("--messages", type=int, default=10_000_000, help="echoes and acknowledgements (10 million)")
    default = servers.ROOT / "target" / "bench"
    parser.add_argument("--build-dir", type=Path, default=default, help="where programs are built (target/bench)")
    return parser.parse_args()


def comings(load, server, clients, wanted):
    """Pairs of how many clients have come and gone, and the resident KiB then."""
    curve = []
    with servers.Running(server) as running:
        while not curve or curve[-1][0] < wanted:
            done = curve[-1][0] if curve else 0
            round_ = drive(load, running, "cycles", "--clients", str(clients))
            curve += [(done + clients * (i + 1), rss) for i, rss in enumerate(round_["rss_kib_after"])]
    return curve


def messages(load, server, wanted):
    """Pairs of how many messages were answered, and the resident KiB then."""
    curve = []
    with servers.Running(server) as running:
        while not curve or curve[-1][0] < wanted:
            round_ = drive(load, running, "echo", "--seconds", "1", "--warmup", "0.1")
            curve.append(((curve[-1][0] if curve else 0) + round_["messages"], round_["rss_kib"]))
    return curve


def drive(load, running, scenario, *extra):
    command = ["taskset", "-c", str(servers.LOAD_CPU), str(load), scenario, *extra, "--port", str(running.port), "--pid", str(running.pid)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{scenario} on {running.name}: {result.stderr.strip()}")
    return json.loads(result.stdout)


def report(name, what, curve):
    """Prints a curve as at most ten points; whether it grows too much."""
    settled = [rss for _, rss in curve[int(len(curve) * WARM_UP_SHARE) :]]
    third = max(1, len(settled) // 3)
    growth = median(settled[-third:]) / median(settled[:third])
    step = max(1, len(curve) // 10)
    points = curve[::step] if curve[-1] in curve[::step] else [*curve[::step], curve[-1]]
    print(f"{name}: resident memory after so many {what}", flush=True)
    for count, rss in points:
        print(f"  {count:>12,}  {rss / 1024:7.1f} MiB", flush=True)
    print(f"  the last third is {growth:.3f} times the first after the warm-up (at most {GROWTH_MAX})\n", flush=True)
    return growth > GROWTH_MAX


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (servers.BuildError, servers.Unavailable) as error:
        sys.exit(f"level.py: {error}")
