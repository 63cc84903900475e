"""Ports of 127.0.0.1 for the programs that tests start, which no other test gets."""

import random
import socket

# Below the range from which the kernel gives ports to clients, so that no connection of a test can hold one. As in
# tests/clients/node/support/process.js, each process of tests has a block of ports for as long as it runs: who listens on the first of them
# has the others.
PORT_MIN = 10_000
PORT_MAX = 32_000
PORT_BLOCK = 50

_guards = []
_ports = []


def free_port():
    """A port that nobody listens on; no other test gets it, not even after its program has ended."""
    while True:
        if not _ports:
            _reserve()
        port = _ports.pop(0)
        if (probe := _listen(port)) is not None:
            probe.close()
            return port


def _reserve():
    while True:
        first = random.randrange(PORT_MIN, PORT_MAX, PORT_BLOCK)
        if (guard := _listen(first)) is not None:
            _guards.append(guard)
            _ports.extend(range(first + 1, first + PORT_BLOCK))
            return


def _listen(port):
    """A socket that listens there, or None."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None
