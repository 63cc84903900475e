"""A long run of guests good and bad against the testbed, and what it holds meanwhile.

    SECONDS=3600 TESTBED=target/testbed python3 tests/soak/soak.py

Official clients (talk.js) and rude ones (breakers.py) come and go at a steady rate while memory, descriptors, threads, sessions and
queues are sampled each second. `target/soak` gets `soak.csv` and `soak.svg`. The exit status is 1 if what the process holds has drifted
between the first and the last fifth of the time after the warm-up, if a good guest saw a fault, or if the testbed did not end well.
"""

import asyncio
import csv
import json
import os
import signal
import socket
import statistics
import sys
import time
import urllib.request
from pathlib import Path

import breakers
from chart import chart

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "target/soak"
SECONDS = int(os.environ.get("SECONDS", 3600))
TESTBED = os.environ.get("TESTBED", str(ROOT / "target/testbed"))
GOOD, BAD = 40, 40
# Caches and pools fill, and the slowest guests reach their steady number.
WARM_UP = 0.15
METRICS = "/metrics"

# How much more the last fifth may hold than the first: a share and an amount. Guests come at random, so counts vary; threads do not.
DRIFT = {"resident_kib": (0.10, 2048), "descriptors": (0.15, 15), "threads": (0, 0)}
# What is drawn of the metrics, and the series that are added up for it.
SERIES = {
    "connections": "sockeye_connections",
    "sessions": "sockeye_sessions",
    "sockets": "sockeye_sockets",
    "queue_events": "sockeye_queue_events",
    "buffered_bytes": "sockeye_buffer_bytes",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def process_sample(pid: int) -> dict[str, float]:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return {
        "resident_kib": pages * os.sysconf("SC_PAGESIZE") // 1024,
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": len(os.listdir(f"/proc/{pid}/task")),
    }


def metrics_sample(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{METRICS}", timeout=20) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    values = [(line.split("{")[0].split(" ")[0], float(line.rsplit(" ", 1)[1])) for line in lines]
    missing = set(SERIES.values()) - {name for name, _ in values}
    if missing:
        raise RuntimeError(f"the metrics have no {missing}")
    return {column: sum(value for name, value in values if name == series) for column, series in SERIES.items()}


async def sample_all(pid: int, port: int, stop: asyncio.Event) -> list[dict[str, float]]:
    samples: list[dict[str, float]] = []
    start = time.monotonic()
    with open(OUT / "soak.csv", "w", newline="") as file:
        writer = None
        while not stop.is_set():
            metrics = await asyncio.to_thread(metrics_sample, port)
            sample = {"time": round(time.monotonic() - start, 1), **process_sample(pid), **metrics}
            writer = writer or csv.DictWriter(file, list(sample))
            if not samples:
                writer.writeheader()
            writer.writerow(sample)
            file.flush()
            samples.append(sample)
            await asyncio.sleep(1)
    return samples


def judge(samples: list[dict[str, float]]) -> tuple[list[str], dict[str, list[tuple[float, float, float]]]]:
    """What has drifted, and the medians that tell so."""
    warm = samples[int(len(samples) * WARM_UP) :]
    fifth = max(len(warm) // 5, 1)
    first, last = warm[:fifth], warm[-fifth:]
    faults, medians = [], {}
    for column in (name for name in samples[0] if name != "time"):
        before, after = (statistics.median(sample[column] for sample in part) for part in (first, last))
        medians[column] = [(part[0]["time"], part[-1]["time"], value) for part, value in ((first, before), (last, after))]
        share, amount = DRIFT.get(column, (None, None))
        print(f"  {column:15} {before:12,.0f} -> {after:12,.0f}")
        if share is not None and after > before * (1 + share) + amount:
            faults.append(f"{column} drifted from {before:,.0f} to {after:,.0f}")
    return faults, medians


async def soak() -> list[str]:
    port = free_port()
    heartbeat = {"PING_INTERVAL": "2000", "PING_TIMEOUT": "2500", "UPGRADE_TIMEOUT": "2000", "CONNECT_TIMEOUT": "5000"}
    environment = {**os.environ, **heartbeat, "HOST": "127.0.0.1", "PORT": str(port), "METRICS_PATH": METRICS, "DELIVERY": "thread"}
    testbed = await asyncio.create_subprocess_exec(TESTBED, env={**environment, "SHARDS": "2"})
    while not answers(port):
        if testbed.returncode is not None:
            return [f"the testbed ended with {testbed.returncode} at its start"]
        await asyncio.sleep(0.05)
    talkers = await asyncio.create_subprocess_exec(
        "node", str(ROOT / "tests/soak/talk.js"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "URL": f"http://127.0.0.1:{port}", "SLOTS": str(GOOD)},
    )  # fmt: skip
    rude_stop, sample_stop = asyncio.Event(), asyncio.Event()
    sampling = asyncio.create_task(sample_all(testbed.pid, port, sample_stop))
    rude = asyncio.create_task(breakers.run(port, BAD, rude_stop))
    await asyncio.wait([sampling, rude, asyncio.create_task(testbed.wait())], timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
    alive = testbed.returncode is None
    sample_stop.set()
    rude_stop.set()
    said, _ = await talkers.communicate(b"")
    counts = await rude
    samples = await sampling
    if alive:
        testbed.send_signal(signal.SIGTERM)
    status = await testbed.wait()
    if talkers.returncode != 0:
        return [f"talk.js ended with {talkers.returncode}"]
    return report(samples, json.loads(said), counts, status)


def report(samples: list[dict[str, float]], seen: dict, counts: dict[str, int], status: int) -> list[str]:
    print(f"soak: {samples[-1]['time']:.0f} s, {len(samples)} samples")
    print(f"  good guests: {seen['connections']:,} connections, {seen['answers']:,} things said, {seen['upgrades']:,} upgrades")
    print(f"  rude guests: {sum(counts.values()):,}: " + ", ".join(f"{kind} {count}" for kind, count in counts.items()))
    faults, medians = judge(samples)
    (OUT / "soak.svg").write_text(chart(samples, medians))
    if seen["failures"]:
        faults.append(f"good guests saw {seen['failures']} faults: {seen['reasons']}")
    if status != 0:
        faults.append(f"the testbed ended with {status}")
    return faults


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    faults = asyncio.run(soak())
    for fault in faults:
        print(f"soak: {fault}", file=sys.stderr)
    print(f"soak: {'FAILED' if faults else 'all as it was'}; see target/soak/soak.svg")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
