#!/usr/bin/env python3
"""How much CPU it takes from nothing to a server that listens, in Node: with sockeye, with socket.io, and without either.

Prints medians over --reps processes. Exit status 1 if sockeye's is beyond CPU_MS_MAX. See README.md beside this file.
"""

import argparse
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

import servers

# From the start of the process, Node's own start included.
CPU_MS_MAX = 100

BARE = "require('http').createServer().listen(0, () => process.exit())"
SERVER = "new (require('{}').Server)(0).httpServer.on('listening', () => process.exit())"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=15, help="processes of each kind (15)")
    parser.add_argument("--build-dir", type=Path, default=servers.ROOT / "target" / "bench", help="where programs are built (target/bench)")
    options = parser.parse_args()
    servers.build("sockeye-node", options.build_dir)
    servers.build("node", options.build_dir)
    programs = {
        "node": BARE,
        "sockeye": SERVER.format(servers.ROOT / "bindings" / "node"),
        "socket.io": SERVER.format(options.build_dir / "node" / "node_modules" / "socket.io"),
    }
    taken = {name: [] for name in programs}
    for _ in range(options.reps):
        for name, program in programs.items():
            taken[name].append(cpu_ms(["node", "-e", program]))
    for name, times in taken.items():
        print(f"{name:10} {median(times):6.1f} ms of CPU until it listens")
    return 1 if median(taken["sockeye"]) > CPU_MS_MAX else 0


def cpu_ms(command):
    """CPU time of a process, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (servers.BuildError, servers.Unavailable) as error:
        sys.exit(f"start.py: {error}")
