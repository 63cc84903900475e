#!/usr/bin/env python3
"""How much CPU it takes from nothing to a server that listens, in Node and in Python: with sockeye, with socket.io, and without either.

Prints medians over --reps processes. Exit status 1 if sockeye's is beyond CPU_MS_MAX. See README.md beside this file.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import run
import servers

# From the start of the process, the interpreter's own start included.
CPU_MS_MAX = 100

BARE = "require('http').createServer().listen(0, () => process.exit())"
SERVER = "new (require('{}').Server)(0).httpServer.on('listening', () => process.exit())"


# It is left as it listens: what a server costs on its way out is another matter.
PYTHON_BARE = "import os\n{}os._exit(0)"
PYTHON_SERVER = "import os, sockeye_io\nsockeye_io.Server().start(port=0)\nos._exit(0)"
PYTHON_ASYNC_SERVER = """
import asyncio, os, sockeye_io
async def main():
    await sockeye_io.AsyncServer().start(port=0)
    os._exit(0)
asyncio.run(main())
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=15, help="processes of each kind (15)")
    parser.add_argument("--hosts", type=run.names(("node", "python")), default=("node", "python"), help="node, python or both (both)")
    parser.add_argument("--build-dir", type=Path, default=servers.ROOT / "target" / "bench", help="where programs are built (target/bench)")
    options = parser.parse_args()
    programs = node_programs(options.build_dir) if "node" in options.hosts else {}
    with tempfile.TemporaryDirectory() as cache:
        if "python" in options.hosts:
            programs.update(python_programs(options.build_dir))
            # Compiled once, as pip does when it installs.
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = cache
        taken = {name: [] for name in programs}
        for rep in range(options.reps + 1):
            for name, program in programs.items():
                taken[name].append(cpu_ms(program))
    medians = {name: median(times[1:]) for name, times in taken.items()}
    for name, time_ms in medians.items():
        print(f"{name:24} {time_ms:6.1f} ms of CPU until it listens")
    return 1 if any(time_ms > CPU_MS_MAX for name, time_ms in medians.items() if "sockeye" in name) else 0


def node_programs(build_dir):
    """Node without anything, and with each server: commands by their names."""
    servers.build("sockeye-node", build_dir)
    servers.build("node", build_dir)
    programs = {
        "node": BARE,
        "sockeye": SERVER.format(servers.ROOT / "bindings" / "node"),
        "socket.io": SERVER.format(build_dir / "node" / "node_modules" / "socket.io"),
    }
    return {name: ["node", "-e", program] for name, program in programs.items()}


def python_programs(build_dir):
    """Python without anything and with asyncio, and with each server: commands by their names."""
    server = servers.build("sockeye-python", build_dir)
    os.environ.update(SOCKEYE_LIBRARY=server.environment["SOCKEYE_LIBRARY"], PYTHONPATH=str(servers.ROOT / "bindings" / "python"))
    programs = {
        "python": PYTHON_BARE.format(""),
        "python with asyncio": PYTHON_BARE.format("import asyncio\n"),
        "sockeye_io.Server": PYTHON_SERVER,
        "sockeye_io.AsyncServer": PYTHON_ASYNC_SERVER,
    }
    return {name: [sys.executable, "-c", program] for name, program in programs.items()}


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
