"""Servers of both kinds, each on a port of its own, and python-socketio's clients for them."""

import asyncio
import contextlib
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest
import websocket

import sockeye_io

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PACKAGE.parents[1] / "tests" / "support"))

import orderly  # noqa: E402

PATIENCE_S = 30


def eventually(found, patience_s=PATIENCE_S):
    """Waits until `found()` gives something true, which is returned."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


class AsyncHost:
    """An `AsyncServer` on a loop in a thread of its own."""

    asynchronous = True

    def __init__(self, **options):
        self.sio = sockeye_io.AsyncServer(cors_allowed_origins=[], **options)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def do(self, coroutine):
        """Runs a coroutine on the loop and gives its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    def start(self, **options):
        self.url = f"http://127.0.0.1:{self.do(self.sio.start(port=0, **options))}"

    def call(self, name, *args, **kwargs):
        """A method of the server, whichever kind it is."""

        async def run():
            result = getattr(self.sio, name)(*args, **kwargs)
            return await result if asyncio.iscoroutine(result) else result

        return self.do(run())

    def handler(self, function):
        """The function as the kind of handler that this server is mostly given."""

        async def run(*args):
            return function(*args)

        run.__signature__ = __import__("inspect").signature(function)
        return run

    def stop(self):
        self.do(self.sio.shutdown())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class ThreadHost:
    """A `Server`."""

    asynchronous = False

    def __init__(self, **options):
        self.sio = sockeye_io.Server(cors_allowed_origins=[], **options)

    def start(self, **options):
        self.url = f"http://127.0.0.1:{self.sio.start(port=0, **options)}"

    def call(self, name, *args, **kwargs):
        return getattr(self.sio, name)(*args, **kwargs)

    def handler(self, function):
        return function

    def stop(self):
        self.sio.shutdown()


@pytest.fixture(params=[AsyncHost, ThreadHost], ids=["async", "threads"])
def make(request):
    """Makes servers of one kind."""
    made = []

    def make(**options):
        made.append(request.param(**options))
        return made[-1]

    yield make
    for host in made:
        host.stop()


@pytest.fixture
def host(make):
    """A server without handlers, not started."""
    return make()


@pytest.fixture
def connect():
    """Connects clients: `connect(host, namespace="/", auth=None)`."""
    clients = []

    def connect(host, namespace="/", **how):
        client = orderly.Client(reconnection=False)
        clients.append(client)
        client.received = []
        client.on("*", lambda event, *args: client.received.append((event, *args)), namespace=namespace)
        client.connect(host.url, namespaces=[namespace], wait_timeout=PATIENCE_S, **how)
        return client

    yield connect
    for client in clients:
        with contextlib.suppress(Exception):
            client.disconnect()


def join(host):
    """A bare WebSocket whose `/` is joined."""
    raw = opened(host)
    assert raw.recv().startswith('40{"sid":"')
    return raw


def opened(host):
    """A bare WebSocket that has asked to join `/`; for what python-socketio's client does not show."""
    raw = websocket.create_connection(host.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket")
    raw.recv()
    raw.send("40")
    return raw


def script(text, **options):
    """Runs a program with the package, and gives what it wrote and how it ended."""
    env = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    return subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, text=True, timeout=120, **options)
