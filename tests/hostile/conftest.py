"""The servers, and what must hold after every case: nobody else noticed, and nothing stayed behind."""

import os
import pathlib
import sys
import time

import pytest
import socketio

import wire
from sessions import Polling

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from testbed import Testbed  # noqa: E402

# Short times, so that what a case leaves open ends by itself soon, and no shorter than what a case on a loaded machine takes that answers no
# ping, or finishes no upgrade, while it does something else.
SETTINGS = {
    "SHARDS": "2",
    "PING_INTERVAL": "2000",
    "PING_TIMEOUT": "8000",
    "CONNECT_TIMEOUT": "5000",
    "UPGRADE_TIMEOUT": "5000",
    # The C library gives back what is freed, so that memory tells what is held.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
DELIVERIES = os.environ.get("HOSTILE_DELIVERIES", "inline,poll").split(",")

# All sessions of all cases have ended by then: the heartbeat's times, and the close of a polling session that nobody polls.
QUIET_TIMEOUT_S = 80
# What lies between blocks that are in use stays with the process; a leak of a message or a connection's buffers passes this soon.
RSS_GROWTH_MAX_KIB = 24 * 1024
RETURN_TIMEOUT_S = 20
ECHO_TIMEOUT_S = 30


class Bystander:
    """A client that people use, connected before the first case and after the last."""

    def __init__(self, server):
        self.client = socketio.Client(reconnection=False)
        self.client.connect(f"http://127.0.0.1:{server.port}", transports=["websocket"], wait_timeout=ECHO_TIMEOUT_S)

    def is_served(self):
        return self.client.call("ack", "here", timeout=ECHO_TIMEOUT_S) == "here"

    def leave(self):
        self.client.disconnect()


@pytest.fixture(scope="session", params=DELIVERIES)
def server(request):
    """The testbed of one delivery mode, for all cases: what one of them breaks, the next ones find broken."""
    testbed = Testbed({**SETTINGS, "DELIVERY": request.param})
    testbed.delivery = request.param
    try:
        testbed.bystander = Bystander(testbed)
        newcomer_is_served(testbed)
        testbed.fds_before = testbed.fds_at_rest()
        rss_before_kib = testbed.rss_kib()
        yield testbed
        bound = rss_before_kib + RSS_GROWTH_MAX_KIB
        assert returns(testbed.rss_kib, bound, QUIET_TIMEOUT_S), f"{testbed.rss_kib()} KiB, {rss_before_kib} before"
        testbed.bystander.leave()
    finally:
        testbed.stop()


@pytest.fixture(autouse=True)
def nobody_else_notices(server):
    """After each case: the bystander and a newcomer are served, all file descriptors are back, nothing panicked."""
    yield
    wire.close_all()
    assert server.process.poll() is None, "the server has ended"
    assert server.bystander.is_served()
    newcomer_is_served(server)
    assert returns(server.fds, server.fds_before), f"{server.fds()} fds, {server.fds_before} before"
    assert not server.alarms()


def newcomer_is_served(server):
    session = Polling(server).join()
    assert session.echo()
    session.leave()
    wire.close_all()


def returns(measure, bound, timeout_s=RETURN_TIMEOUT_S):
    """Whether a measure is down at its bound in time."""
    deadline = time.monotonic() + timeout_s
    while measure() > bound:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
