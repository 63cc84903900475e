"""Medians, ratios and figures from the runs of the benchmark, as Markdown."""

from statistics import median

FLOOR = "floor"
PEER = "socketioxide"
OURS = "sockeye-"

# The figures to reach: scenario, server, at most so many times the floor, at most so many times socketioxide.
FIGURES = (
    ("echo", "sockeye-inline", 1.3, 0.65),
    ("echo", "sockeye-poll", 1.8, None),
    ("binary", "sockeye-inline", 1.5, 0.5),
    ("broadcast", "sockeye-inline", 1.3, 0.65),
    ("rooms", "sockeye-inline", 1.3, 0.7),
    ("polling", "sockeye-inline", 1.8, 0.75),
)

# The same for the bindings: scenario, server, the peer of its language, at most this share of what the peer takes.
BINDING_FIGURES = (
    ("echo", "sockeye-node", "node", 1 / 3),
    ("broadcast", "sockeye-node", "node", 1 / 4),
    ("echo", "sockeye-python", "python-socketio", 1 / 6),
    ("broadcast", "sockeye-python", "python-socketio", 1 / 20),
)

TITLES = {
    "echo": "echo and ack, 100 clients, 4 in flight, 64 B",
    "binary": "echo of a 1 KiB attachment, 100 clients, 4 in flight",
    "broadcast": "broadcast to 1000 clients, 4 outstanding, 64 B",
    "rooms": "1000 clients in 100 rooms, emit to a room, 4 outstanding in each, 64 B",
    "rooms-1": "the same, 1 outstanding in each",
    "polling": "long-polling echo, 50 clients, 64 B",
}


class Results:
    """All runs: a list of dicts with `server`, `scenario`, `rep` and what the load generator printed, or `violation`."""

    def __init__(self, runs, servers):
        self.runs = runs
        self.servers = servers

    def values(self, scenario, server, key):
        found = (run.get(key) for run in self.runs if run["scenario"] == scenario and run["server"] == server)
        return [value for value in found if value is not None]

    def median(self, scenario, server, key="cpu_us_per_message"):
        """The median over the repetitions, or None if there is none."""
        values = self.values(scenario, server, key)
        return median(values) if values else None

    def ratio(self, scenario, server, reference):
        ours, theirs = self.median(scenario, server), self.median(scenario, reference)
        return ours / theirs if ours and theirs else None

    def violations(self):
        return [run for run in self.runs if "violation" in run]

    def clean(self, prefix):
        """Whether no run of the servers whose names begin with `prefix` broke a message; None if there was none."""
        ours = [run for run in self.runs if run["server"].startswith(prefix)]
        return not any("violation" in run for run in ours) if ours else None

    def figures(self):
        """Every figure as (text, measured ratio or None, reached: True, False or None for not measured)."""
        for scenario, server, floor_limit, peer_limit in FIGURES:
            for limit, reference in ((floor_limit, FLOOR), (peer_limit, PEER)):
                if limit is None:
                    continue
                ratio = self.ratio(scenario, server, reference)
                reached = None if ratio is None else ratio <= limit
                yield f"{scenario}, {server}: ≤ {limit} × {reference}", ratio, reached

    def binding_figures(self):
        """As figures(), for the bindings that were measured beside their peers."""
        for scenario, server, peer, limit in BINDING_FIGURES:
            ratio = self.ratio(scenario, server, peer)
            if ratio is not None:
                yield bounded(f"{scenario}, {server}: ≤ {limit:.3g} × {peer}", ratio, limit)
        ours, peer = (self.median("idle", name, "kib_per_connection") for name in ("sockeye-node", "node"))
        if ours and peer:
            yield bounded("idle, memory of sockeye-node: ≤ 0.333 × node", ours / peer, 1 / 3)

    def scale_figures(self):
        """As figures(), for what many connections cost."""
        server = OURS + "inline"
        cpu, peer = (self.median("idle", name, "cpu_us_per_connection") for name in (server, PEER))
        yield bounded("idle, CPU for each connection: ≤ 0.65 × socketioxide", cpu and peer and cpu / peer, 0.65)
        yield bounded("idle, KiB for each connection: ≤ 2.5", self.median("idle", server, "kib_per_connection"), 2.5)
        yield bounded("cycles, memory after the last: ≤ 1.05 × after the first", self.drift(server), 1.05)
        held = self.median("hold", server, "rss_kib")
        yield bounded("hold, MiB for 100,000 connections: ≤ 300", held and held / 1024, 300)
        yield bounded("hold, share of a core: ≤ 0.04", self.median("hold", server, "server_cores_busy"), 0.04)
        p99, floor = (self.median("latency", name, "p99_us") for name in (server, FLOOR))
        yield bounded("latency, p99: ≤ 1.5 × floor", p99 and floor and p99 / floor, 1.5)

    def drift(self, server):
        """The worst memory after a cycle, to that after the first; the median over the repetitions."""
        runs = self.values("cycles", server, "rss_kib_after")
        return median(max(after) / after[0] for after in runs) if runs else None

    def scenarios(self, wanted):
        present = {run["scenario"] for run in self.runs}
        return [scenario for scenario in wanted if scenario in present]


def bounded(text, value, limit):
    return text, value, None if value is None else value <= limit


def markdown(results):
    """The report of a whole run."""
    parts = [cpu_table(results), ratio_table(results), idle_table(results), latency_table(results)]
    parts += [figure_table(results), remarks(results)]
    return "\n\n".join(part for part in parts if part)


def cpu_table(results):
    rows = []
    for scenario in results.scenarios(TITLES):
        cells = [number(results.median(scenario, server)) for server in results.servers]
        rows.append([TITLES[scenario], *cells])
    return rows and table("Server CPU, µs for each message or delivery (medians)", ["scenario", *results.servers], rows)


def ratio_table(results):
    rows = []
    compared = [server for server in results.servers if server != FLOOR]
    for scenario in results.scenarios(TITLES):
        pairs = [[results.ratio(scenario, server, reference) for reference in (FLOOR, PEER)] for server in compared]
        rows.append([TITLES[scenario], *(" / ".join(number(ratio) for ratio in pair) for pair in pairs)])
    return rows and table(f"Ratio to the floor / to {PEER}", ["scenario", *compared], rows)


def idle_table(results):
    rows = []
    for title, key in (
        ("resident KiB for each connection", "kib_per_connection"),
        ("CPU µs for each connection and handshake", "cpu_us_per_connection"),
    ):
        cells = [number(results.median("idle", server, key)) for server in results.servers]
        rows.append([title, *cells])
    if not results.scenarios(["idle"]):
        return ""
    connections = next(iter(run["connections"] for run in results.runs if "connections" in run), 0)
    return table(f"{connections} idle WebSocket connections in `/`", ["", *results.servers], rows)


def latency_table(results):
    if not results.scenarios(["latency"]):
        return ""
    rows = []
    for key in ("p50_us", "p99_us", "p999_us", "max_us", "left_out", "cpu_us_per_message"):
        rows.append([key, *(number(results.median("latency", server, key)) for server in results.servers)])
    return table("Latency of paced echoes, 1000 clients, 20,000 a second", ["", *results.servers], rows)


def figure_table(results):
    words = {True: "reached", False: "**not reached**", None: "not measured"}
    figures = [*results.figures(), *results.scale_figures(), *results.binding_figures()]
    rows = [[text, number(value), words[reached]] for text, value, reached in figures]
    rows.append(["sockeye: nothing lost, duplicated or reordered in any run", "", words[results.clean(OURS)]])
    return table("Figures", ["figure", "measured", ""], rows)


def remarks(results):
    lines = []
    for run in results.violations():
        lines.append(f"- {run['server']}, {run['scenario']}, repetition {run['rep']}: {run['violation']}")
    disturbed = [run for run in results.runs if run.get("disturbed")]
    if disturbed:
        lines.append(f"- {len(disturbed)} of {len(results.runs)} runs shared their CPUs with other programs to the end")
    return "\n".join(lines)


def table(title, header, rows):
    lines = [f"**{title}**", "", row_text(header), row_text(["---"] * len(header))]
    return "\n".join(lines + [row_text(row) for row in rows])


def row_text(cells):
    return "| " + " | ".join(cells) + " |"


def number(value):
    """Three significant digits, which is more than the measurement is good for; a dash for nothing."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
