"""Very many idle connections: more than one address has ports for, and often more than one process may have descriptors.

So they are shared out to as many servers as needed, each with a load generator of its own, all at the same time on the same two
CPUs. What is reported is the sum: an upper bound of what one server would take, which has its fixed costs once.
"""

import json
import subprocess
from contextlib import ExitStack

import servers

CONNECTIONS = 100_000
# Ports that one client address has for one server port, with room to spare.
PORTS = 25_000
WARMUP_S = 30


def measure(load, server, descriptors, seconds):
    """Holds CONNECTIONS for so long: the sums over all servers, or `violation` with what one generator said."""
    each = min(descriptors, PORTS)
    count = -(-CONNECTIONS // each)
    each = -(-CONNECTIONS // count)
    with ExitStack() as stack:
        running = [stack.enter_context(servers.Running(server)) for _ in range(count)]
        loads = [start(load, one, each, seconds) for one in running]
        outputs = [process.communicate() for process in loads]
    for process, (_, error) in zip(loads, outputs):
        if process.returncode != 0:
            return {"violation": error.strip()}
    runs = [json.loads(output) for output, _ in outputs]
    sums = {key: sum(run[key] for run in runs) for key in ("connections", "pings", "server_cores_busy", "rss_kib")}
    return {**sums, "servers": count, "seconds": min(run["seconds"] for run in runs)}


def start(load, running, clients, seconds):
    command = ["taskset", "-c", str(servers.LOAD_CPU), str(load), "hold", "--port", str(running.port), "--pid", str(running.pid)]
    command += ["--clients", str(clients), "--seconds", str(seconds), "--warmup", str(WARMUP_S)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
