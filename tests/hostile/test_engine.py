"""Engine.IO packets on a session's WebSocket (engine-io.md §1, §6; server-behaviour.md 2.13, 2.14)."""

import time

import pytest

from sessions import BINARY, CLOSE, HANDSHAKE, NO_CODE, TEXT, WebSocket, frame
from wire import ask


@pytest.fixture
def websocket(server):
    return WebSocket.joined(server)


FATAL = {
    "nothing": "",
    "a ping": "2",
    "a ping with data": "2probe",
    "type 7": "7",
    "type 8": "8abc",
    "type 9": "9",
    "a letter": "x",
    "a minus": "-1",
    "a space": " 4",
    "a byte order mark": "\ufeff42",
    "a digit of another script": "４2",
    "a NUL": "\0",
    "an upper-case B": "BAQID",
}


@pytest.mark.parametrize("packet", FATAL.values(), ids=FATAL)
def test_what_is_no_packet_of_a_client_ends_the_session(websocket, packet):
    """`parse error`, or for a ping `transport error`; closed without a code."""
    websocket.send(packet, '42["echo",1]')
    assert websocket.closed() == NO_CODE


IGNORED = {
    "an open packet": "0{}",
    "an open packet without JSON": "0",
    "a close packet, which polling alone has": "1",
    "a pong that nobody asked for": "3",
    "a pong with data": "3" + "x" * 100_000,
    "an upgrade": "5",
    "a noop": "6",
    "a noop with data": "6:4hello",
}


@pytest.mark.parametrize("packet", IGNORED.values(), ids=IGNORED)
def test_packets_that_mean_nothing_here_are_ignored(websocket, packet):
    websocket.send(packet)
    assert websocket.echo()


@pytest.mark.parametrize("packet", [b"", b"\0", bytes(100_000), "b", "bAQID", "b!!!"], ids=["empty", "NUL", "large", "b", "base64", "no base64"])
def test_an_attachment_that_none_announced_ends_the_session(websocket, packet):
    """Closed by Socket.IO: `forced close`. Text that begins with b is bytes, on WebSocket too (server-behaviour.md 2.25)."""
    websocket.send(packet)
    assert websocket.closed() == NO_CODE


def test_packets_behind_a_fatal_one_are_not_read(websocket):
    websocket.send("9", *['42["echo",1]'] * 100)
    assert websocket.closed() == NO_CODE


def test_100000_pongs_in_one_breath_are_ignored(websocket):
    websocket.send(*["3"] * 100_000)
    assert websocket.echo()


def test_a_client_that_never_pongs_is_closed_however_much_it_sends(server):
    """Data extends the wait once for each ping and no more (engine-io.md §6)."""
    started = time.monotonic()
    websocket = WebSocket.joined(server)
    while time.monotonic() - started < 30:
        websocket.send_raw(frame(TEXT, b'42["nobody",1]'))
        if not websocket.peer.silent(0.1) and websocket.next()[0] == CLOSE:
            break
    assert 9.9 < time.monotonic() - started < 18


def test_a_client_that_connects_to_nothing_is_closed_by_connect_timeout(server):
    websocket = WebSocket.open(server)
    started = time.monotonic()
    while websocket.peer.silent(0.2):
        websocket.pong()
    assert websocket.closed() == NO_CODE
    assert time.monotonic() - started < 25


def test_a_session_ends_with_its_connection(server, websocket):
    """The id is of no use afterwards."""
    websocket.send_raw(frame(BINARY, b"x"))
    assert websocket.closed() == NO_CODE
    assert ask(server, "GET", f"{HANDSHAKE}&sid={websocket.sid}").code == 1
