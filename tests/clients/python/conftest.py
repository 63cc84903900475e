"""Starts the testbed for the Python clients: one server for each delivery mode, on a port of its own on 127.0.0.1."""

import os
import pathlib
import random
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TESTBED = pathlib.Path(os.environ.get("TESTBED", ROOT / "target" / "testbed")).resolve()
DELIVERIES = os.environ.get("DELIVERIES", "inline,thread,poll").split(",")

# A healthy start takes milliseconds; a sanitizer build on a loaded machine takes this long.
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 10
# Two test runs can draw the same port at the same moment; the one that loses draws again.
START_ATTEMPTS = 5


class Testbed:
    """A running testbed. `url` tells where it listens; `restart()` kills it and starts its successor there."""

    def __init__(self, env):
        self.env = env
        for _ in range(START_ATTEMPTS):
            self.port = free_port()
            if self.start():
                return
        raise RuntimeError(f"{TESTBED} does not start")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        env = {**os.environ, "HOST": "127.0.0.1", **self.env, "PORT": str(self.port)}
        self.process = subprocess.Popen([str(TESTBED)], env=env)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/socket.io/?EIO=4&transport=polling", timeout=1).read()
                return True
            except OSError:
                time.sleep(0.01)
        return False

    def restart(self):
        self.process.kill()
        self.process.wait()
        assert self.start(), "the successor does not start"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        finally:
            self.process.kill()
        assert code == 0, f"the server exited with {code} on SIGTERM"


def free_port():
    """A port that nobody listens on, below the range from which the kernel gives ports to clients."""
    while True:
        port = random.randint(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


@pytest.fixture(scope="module", params=DELIVERIES)
def testbed(request):
    server = Testbed({"DELIVERY": request.param, "SHARDS": "2"})
    yield server
    server.stop()
