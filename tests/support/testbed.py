"""The testbed as Python tests start it: a process on a port of its own, and what can be seen of it from outside."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTBED = pathlib.Path(os.environ.get("TESTBED", ROOT / "target" / "testbed")).resolve()

# A healthy start takes milliseconds; a sanitizer build on a loaded machine takes this long.
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
# Somebody else on this machine may take a port between its draw and its use; then another one is drawn.
START_ATTEMPTS = 5

# What the standard error of a healthy testbed never shows: panics, faults, and the reports of sanitizers.
ALARMS = ("panicked", "FAULT", "Sanitizer", "runtime error")


class Testbed:
    """A running testbed on a port of its own on 127.0.0.1. `env` is added to the environment."""

    # Its name is not that of a test.
    __test__ = False

    def __init__(self, env):
        self.env = env
        self.log = tempfile.TemporaryFile()
        for _ in range(START_ATTEMPTS):
            self.port = free_port()
            if self._start():
                return
        raise RuntimeError(f"{TESTBED} does not start: {self.alarms() or 'no word why'}")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _start(self):
        settings = {**os.environ, "HOST": "127.0.0.1", **self.env, "PORT": str(self.port)}
        self.process = subprocess.Popen([str(TESTBED)], env=settings, stderr=self.log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                # It answers, and that leaves no session behind.
                urllib.request.urlopen(f"{self.url}/nothing", timeout=1)
            except urllib.error.HTTPError as error:
                return error.code == 404
            except OSError:
                time.sleep(0.01)
        self.process.kill()
        self.process.wait()
        return False

    def restart(self):
        """Kills it and starts its successor there."""
        self.process.kill()
        self.process.wait()
        assert self._start(), "the successor does not start"

    def fds(self):
        """How many file descriptors the process has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def fds_at_rest(self):
        """The fewest of them for a while: connections that were closed are still being noticed."""
        samples = []
        for _ in range(20):
            samples.append(self.fds())
            time.sleep(0.01)
        return min(samples)

    def rss_kib(self):
        """Resident memory, KiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1])

    def alarms(self):
        """The lines of standard error that tell of a fault inside the process."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").splitlines()
        return [line for line in lines if any(alarm in line for alarm in ALARMS)]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        finally:
            self.process.kill()
        assert code == 0, f"the server exited with {code} on SIGTERM: {self.alarms()}"
