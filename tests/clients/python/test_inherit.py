"""Deploys with a listening socket that a supervisor holds: `examples/c/inherit.c`, one process after the other on one socket."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
import socketio
from conftest import ROOT, STOP_TIMEOUT_S

PROGRAM = pathlib.Path(os.environ.get("EXAMPLES", ROOT / "target" / "examples")).resolve() / "inherit"
TIMEOUT_S = 30

# What a supervisor does between fork and exec: the socket becomes descriptor 3, and the variables say for whom it is.
LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=sys.argv[2] or str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0), backlog=128) as held:
        yield held


@pytest.fixture
def launch(listener):
    processes = []

    def start(pid=""):
        command = [sys.executable, "-c", LAUNCHER, str(listener.fileno()), pid, str(PROGRAM)]
        env = {**os.environ, "SPREAD_MS": "500"}
        processes.append(subprocess.Popen(command, env=env, pass_fds=[listener.fileno()], stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


class Stranger(threading.Thread):
    """Opens a session on a connection of its own, again and again, and counts what it is answered."""

    def __init__(self, url):
        super().__init__()
        self.url = url
        self.answers = []
        self.done = threading.Event()
        self.start()

    def run(self):
        while not self.done.is_set():
            try:
                with urllib.request.urlopen(f"{self.url}/socket.io/?EIO=4&transport=polling", timeout=TIMEOUT_S) as answer:
                    self.answers.append(answer.status)
            except urllib.error.HTTPError as error:
                self.answers.append(error.code)
            except OSError as error:
                self.answers.append(repr(error))

    def stop(self):
        """Ends it once it was served often enough to mean something; what it was answered."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.answers.count(200) <= 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        self.done.set()
        self.join()
        return self.answers


def test_one_process_takes_over_from_another(listener, launch):
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    processes, closing = [], threading.Event()
    heard = threading.Condition()

    def on_process(pid):
        with heard:
            processes.append(pid)
            heard.notify_all()

    def serves(pid):
        with heard:
            return heard.wait_for(lambda: processes and processes[-1] == pid, TIMEOUT_S)

    old = launch()
    client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.2)
    client.on("process", on_process)
    client.on("closing", closing.set)
    client.connect(url, transports=["websocket"], wait_timeout=TIMEOUT_S)
    assert serves(old.pid)
    assert client.call("echo", {"a": b"1"}, timeout=TIMEOUT_S) == {"a": b"1"}

    stranger = Stranger(url)
    new = launch()
    assert new.stderr.readline() == f"inherit: process {new.pid} serves\n"
    old.send_signal(signal.SIGTERM)
    assert closing.wait(TIMEOUT_S)
    assert serves(new.pid)
    assert old.wait(STOP_TIMEOUT_S) == 0
    assert client.call("echo", "again", timeout=TIMEOUT_S) == "again"
    answers = stranger.stop()
    assert answers.count(200) > 10
    # A connection that the old process had accepted when it began to drain is told to come back; nobody is refused or dropped.
    assert set(answers) <= {200, 503}

    client.disconnect()
    new.send_signal(signal.SIGTERM)
    assert new.wait(STOP_TIMEOUT_S) == 0


def test_sockets_for_another_process_are_left_alone(launch):
    process = launch(pid="1")
    assert process.wait(STOP_TIMEOUT_S) == 1
    assert "no socket was passed" in process.stderr.read()
