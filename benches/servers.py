"""The servers under test: how each is built, started, found ready and stopped.

Everything is built under one directory, `target/bench` by default. A peer whose package registry cannot be reached is
skipped with the reason; any other failure to build is an error, so that a comparison never loses a column silently.
"""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

BENCHES = Path(__file__).resolve().parent
ROOT = BENCHES.parent
HOST = "127.0.0.1"

SERVER_CPU = 0
LOAD_CPU = 1
# By the kernel's scheduler: pinned; and, for servers that sleep most of the time, ahead of every program without a real-time priority.
PINNED = ("taskset", "-c", str(SERVER_CPU))
REAL_TIME = ("chrt", "-f", "1")

READY_TIMEOUT_S = 15
STOP_TIMEOUT_S = 5

# What npm prints when it cannot reach the registry, as opposed to a package that does not exist or does not build.
NPM_UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")


class BuildError(Exception):
    """A program that must build did not."""


class Unavailable(Exception):
    """A server cannot take part; the text says why."""


@dataclass
class Server:
    """A program to start: `command` with `environment` added to ours, listening on HOST:PORT."""

    name: str
    command: list
    environment: dict = field(default_factory=dict)


def build_load(build_dir):
    """Builds the load generator and returns its path."""
    return cargo_build(BENCHES / "load", "load", build_dir)


def build(name, build_dir):
    """Builds the server `name` and returns it as a `Server`. Raises Unavailable or BuildError."""
    return BUILDERS[name](name, build_dir)


def build_floor(name, build_dir):
    build_dir.mkdir(parents=True, exist_ok=True)
    program = build_dir / "floor"
    flags = ["-O3", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wpedantic"]
    run([os.environ.get("CC", "cc"), *flags, "-o", str(program), str(BENCHES / "floor" / "floor.c")])
    return Server(name, [str(program)])


def build_sockeye(name, _build_dir):
    if not (ROOT / "Makefile").exists():
        raise Unavailable("the repository has no Makefile that builds target/testbed")
    run(["make", "--no-print-directory", "-C", str(ROOT), "testbed"])
    delivery = name[len("sockeye-") :]
    return Server(name, [str(ROOT / "target" / "testbed")], {"DELIVERY": delivery, "SHARDS": "1"})


def build_socketioxide(name, build_dir):
    package = BENCHES / "peers" / "socketioxide"
    fetch = ["cargo", "fetch", "--quiet", "--manifest-path", str(package / "Cargo.toml")]
    result = subprocess.run(fetch, capture_output=True, text=True)
    if result.returncode != 0:
        raise Unavailable(f"its crates cannot be fetched: {last_line(result.stderr)}")
    return Server(name, [str(cargo_build(package, "socketioxide-peer", build_dir))])


def build_node(name, build_dir):
    package = BENCHES / "peers" / "node"
    directory = build_dir / "node"
    directory.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", "server.js"):
        shutil.copyfile(package / file, directory / file)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline"]
    result = subprocess.run(npm, cwd=directory, capture_output=True, text=True)
    if result.returncode != 0:
        if any(code in result.stderr for code in NPM_UNREACHABLE):
            raise Unavailable("the npm registry cannot be reached")
        raise BuildError(f"npm install in {directory}:\n{result.stderr}")
    return Server(name, ["node", str(directory / "server.js")], {"NODE_ENV": "production"})


def build_python(name, _build_dir):
    run(["make", "--no-print-directory", "-C", str(ROOT), "lib"])
    environment = {"DELIVERY": "poll", "SOCKEYE_LIBRARY": str(ROOT / "target" / "dist" / "lib" / "libsockeye.so")}
    return Server(name, [sys.executable, str(ROOT / "bindings" / "python" / "tests" / "testbed.py")], environment)


def build_python_socketio(name, build_dir):
    package, venv = BENCHES / "peers" / "python", build_dir / "python"
    run([sys.executable, "-m", "venv", str(venv)])
    pip = [str(venv / "bin" / "pip"), "install", "--quiet", "-r", str(package / "requirements.txt")]
    result = subprocess.run(pip, capture_output=True, text=True)
    if result.returncode != 0:
        raise Unavailable(f"its packages cannot be installed: {last_line(result.stderr)}")
    return Server(name, [str(venv / "bin" / "python"), str(package / "server.py")])


def build_sockeye_node(name, _build_dir):
    if shutil.which("npm") is None:
        raise Unavailable("npm is not installed")
    run(["make", "--no-print-directory", "-C", str(ROOT), "node"])
    # The very program of the official server, with another package.
    environment = {"NODE_ENV": "production", "SOCKETIO": str(ROOT / "bindings" / "node")}
    return Server(name, ["node", str(BENCHES / "peers" / "node" / "server.js")], environment)


BUILDERS = {
    "floor": build_floor,
    "sockeye-inline": build_sockeye,
    "sockeye-poll": build_sockeye,
    "socketioxide": build_socketioxide,
    "sockeye-node": build_sockeye_node,
    "node": build_node,
    "sockeye-python": build_python,
    "python-socketio": build_python_socketio,
}

# Those that take part unless others are named: the slow ones of Python would take most of the time.
USUAL = tuple(name for name in BUILDERS if "python" not in name)


def cargo_build(package, binary, build_dir):
    manifest = str(package / "Cargo.toml")
    run(["cargo", "build", "--quiet", "--release", "--manifest-path", manifest, "--target-dir", str(build_dir)])
    return build_dir / "release" / binary


def run(command):
    if shutil.which(command[0]) is None:
        raise BuildError(f"{command[0]} is not installed")
    if subprocess.run(command).returncode != 0:
        raise BuildError(f"failed: {' '.join(command)}")


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"


def may(prefix):
    """Whether this user may run programs so."""
    return subprocess.run([*prefix, "true"], capture_output=True).returncode == 0


class Running:
    """A started server, pinned to SERVER_CPU on a free port; stopped at the end of a `with` block.

    `ahead` runs it ahead of all ordinary programs of that CPU, if this user may ask for that.
    """

    def __init__(self, server, ahead=False):
        self.port = free_port()
        environment = {**os.environ, **server.environment, "HOST": HOST, "PORT": str(self.port)}
        prefix = [*REAL_TIME, *PINNED] if ahead and may(REAL_TIME) else PINNED
        command = [*prefix, *server.command]
        # Each of these becomes the next by exec, so the process id is the server's.
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        self.name = server.name

    def __enter__(self):
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not answers(self.port):
            if self.process.poll() is not None:
                raise Unavailable(f"{self.name} ended with status {self.process.returncode} while it started")
            if time.monotonic() > deadline:
                raise Unavailable(f"{self.name} did not answer within {READY_TIMEOUT_S} s")
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def answers(port):
    """Whether a long-polling handshake succeeds: the sign of readiness that all servers share."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/socket.io/?EIO=4&transport=polling")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
