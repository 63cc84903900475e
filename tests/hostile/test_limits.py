"""Limits that a host sets (`limits` of the options): what passes one is refused as documented, and nobody else notices.

Each case has a server of its own, with the one limit that it is about.
"""

import time

import pytest

from conftest import SETTINGS, newcomer_is_served, returns
from sessions import CLOSE, HANDSHAKE, NO_CODE, Polling, WebSocket, frame, header
from testbed import Testbed
from wire import Peer, ask, close_all, request

# SOCKEYE_RATE_DISCONNECT
DISCONNECT = 1
PLACEHOLDER = '{"_placeholder":true,"num":0}'


@pytest.fixture
def limited(server):
    """Starts a server with limits; after the case it must be as it was, and serve a newcomer."""
    started = []

    def start(**limits):
        text = ",".join(f"{name}={value}" for name, value in limits.items())
        testbed = Testbed({**SETTINGS, "DELIVERY": server.delivery, "LIMITS": text})
        started.append(testbed)
        # Descriptors that are made with the first connection.
        ask(testbed, "GET", "/")
        close_all()
        testbed.fds_before = testbed.fds()
        return testbed

    yield start
    close_all()
    for testbed in started:
        assert returns(testbed.fds, testbed.fds_before)
        newcomer_is_served(testbed)
        assert not testbed.alarms()
        testbed.stop()


# ---- HTTP --------------------------------------------------------------------------------------------------------------------------


def test_headers_max(limited):
    server = limited(headersMax=8)
    assert ask(server, "GET", HANDSHAKE, *["X: y"] * 7).status == 200
    assert Peer(server).send(request("GET", HANDSHAKE, *["X: y"] * 8)).answer().status == 431


def test_head_bytes_max(limited):
    server = limited(headBytesMax=512)
    room = 512 - len(request("GET", HANDSHAKE, "X: "))
    assert ask(server, "GET", HANDSHAKE, f"X: {'y' * room}").status == 200
    assert Peer(server).send(request("GET", HANDSHAKE, f"X: {'y' * (room + 1)}")).answer().status == 431


# ---- what a session may hold ---------------------------------------------------------------------------------------------------------


def test_event_name_bytes_max(limited):
    websocket = WebSocket.joined(limited(eventNameBytesMax=10))
    websocket.send('42["0123456789"]', '42["\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9"]')
    assert websocket.echo()
    websocket.send('42["01234567890"]')
    assert websocket.closed() == NO_CODE


DEEP = '{"a":[{"a":1}]}'


@pytest.mark.parametrize("packet", [f'2["echo",{DEEP}]', f"30[{DEEP}]", f'0/custom,{{"a":{DEEP}}}', f'51-["echo",{PLACEHOLDER},{DEEP}]'])
def test_json_depth_max(limited, packet):
    """The array of the arguments counts, and auth's object."""
    websocket = WebSocket.joined(limited(jsonDepthMax=3)).send(f"4{packet}")
    assert websocket.closed() == NO_CODE


def test_namespaces_max(limited):
    websocket = WebSocket.joined(limited(namespacesMax=2)).join("/dyn-1,")
    websocket.send("40/dyn-2,")
    assert websocket.text().startswith('44/dyn-2,{"message":"Too many namespaces"')
    websocket.send("41/dyn-1,")
    websocket.join("/dyn-2,")
    assert websocket.echo()


def test_attachments_max(limited):
    websocket = WebSocket.joined(limited(attachmentsMax=1))
    websocket.send(f'451-["echo",{PLACEHOLDER}]', b"x")
    assert (websocket.text(), websocket.next()[1]) == (f'451-["echo",{PLACEHOLDER}]', b"x")
    websocket.send(f'452-["echo",{PLACEHOLDER}]')
    assert websocket.closed() == NO_CODE


def test_attachments_time(limited):
    """From the header to the last one, however often one comes."""
    websocket = WebSocket.joined(limited(attachmentsTimeMs=600))
    started = time.monotonic()
    websocket.send(f'4510-["echo",{PLACEHOLDER}]')
    for _ in range(9):
        if not websocket.peer.silent(0.15):
            break
        websocket.send(b"x")
    assert websocket.closed() == NO_CODE
    assert 0.5 < time.monotonic() - started < 5


def test_acks_owed_max(limited):
    websocket = WebSocket.joined(limited(acksOwedMax=3))
    websocket.send('420["nobody"]', '421["nobody"]', '422["nobody"]')
    assert websocket.echo()
    websocket.send('423["nobody"]')
    assert websocket.closed() == NO_CODE


# ---- rates -------------------------------------------------------------------------------------------------------------------------


def test_a_rate_of_messages_delays_who_sends_more(limited):
    """Nothing is lost, and the client is not taken for dead meanwhile."""
    websocket = WebSocket.joined(limited(messagesPerSecond=50, messagesBurst=10))
    started = time.monotonic()
    websocket.send(*[f'42["echo",{number}]' for number in range(60)])
    assert [websocket.text() for _ in range(60)] == [f'42["echo",{number}]' for number in range(60)]
    assert 0.8 < time.monotonic() - started < 8


def test_a_rate_of_messages_disconnects_who_sends_more(limited):
    websocket = WebSocket.joined(limited(messagesPerSecond=50, messagesBurst=10, ratePolicy=DISCONNECT))
    websocket.send(*['42["nobody"]'] * 100)
    assert websocket.closed() == NO_CODE


def test_a_rate_of_bytes_delays_who_sends_more(limited):
    server = limited(bytesPerSecond=100_000, bytesBurst=20_000)
    websocket = WebSocket.joined(server)
    started = time.monotonic()
    websocket.send(*[f'42["nobody","{"x" * 10_000}"]'] * 10, '42["echo",1]')
    assert websocket.text() == '42["echo",1]'
    assert 0.5 < time.monotonic() - started < 8


def test_a_rate_counts_on_polling_too(limited):
    session = Polling(limited(messagesPerSecond=50, messagesBurst=10)).join()
    started = time.monotonic()
    session.post("\x1e".join(f'42["echo",{number}]' for number in range(60)))
    assert session.take(60) == [f'42["echo",{number}]' for number in range(60)]
    assert 0.8 < time.monotonic() - started < 8


def test_pings_of_websocket_count(limited):
    """Or they would be the way around."""
    websocket = WebSocket.joined(limited(messagesPerSecond=50, messagesBurst=10, ratePolicy=DISCONNECT))
    websocket.send_raw(frame(9, b"x") * 200)
    opcode = 10
    while opcode == 10:
        opcode, _ = websocket.next()
    assert opcode == CLOSE


def test_who_is_delayed_and_never_pongs_is_closed_all_the_same(limited):
    websocket = WebSocket.joined(limited(messagesPerSecond=5, messagesBurst=5))
    started = time.monotonic()
    websocket.send(*['42["nobody"]'] * 15)
    websocket.send_raw(header(0x82, 100) + bytes(4))
    assert websocket.closed() == NO_CODE
    assert time.monotonic() - started < 20
