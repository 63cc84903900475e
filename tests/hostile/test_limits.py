"""Limits that a host sets (`limits` of the options): what passes one is refused as documented, and nobody else notices.

Each case has a server of its own, with the one limit that it is about.
"""

import time

import pytest

from conftest import SETTINGS, newcomer_is_served, returns
from sessions import CLOSE, HANDSHAKE, NO_CODE, PATH, Polling, WebSocket, frame, header, upgrade_request
from testbed import Testbed
from wire import Ended, Peer, ask, close_all, request

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
        testbed.fds_before = testbed.fds_at_rest()
        return testbed

    try:
        yield start
        close_all()
        for testbed in started:
            assert returns(testbed.fds, testbed.fds_before)
            newcomer_is_served(testbed)
            assert not testbed.alarms()
    finally:
        for testbed in started:
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
    assert time.monotonic() - started < 40


# ---- connections and requests ------------------------------------------------------------------------------------------------------


def is_let_in(server):
    """Whether a client's handshake is answered, or its connection closed as it comes."""
    try:
        return ask(server, "GET", HANDSHAKE).status == 200
    except Ended:
        return False


@pytest.mark.parametrize("limit", ["connectionsMax", "connectionsPerAddressMax"])
def test_a_connection_too_many_is_closed_as_it_comes(limited, limit):
    """Without an answer; those that are there stay, and when one has gone another may come."""
    server = limited(**{limit: 3})
    peers = [Peer(server) for _ in range(3)]
    assert all(peer.silent(0.05) for peer in peers)
    assert [Peer(server).rest() for _ in range(20)] == [b""] * 20
    assert all(peer.send(request("GET", "/")).answer().status == 404 for peer in peers)
    peers[0].close()
    assert returns(lambda: not is_let_in(server), False)


def test_half_open_connections_make_room_for_others(limited):
    """The oldest that has said nothing goes first (SYN floods' elder brother)."""
    server = limited(handshakesPendingMax=10)
    talker = WebSocket.joined(server)
    peers = [Peer(server) for _ in range(100)]
    assert ask(server, "GET", HANDSHAKE).status == 200
    assert all(peer.closed() for peer in peers[:80])
    assert peers[-1].silent(0.01)
    assert talker.echo()


def test_an_address_that_opens_sessions_too_fast_is_told_to_wait(limited):
    """429 and Retry-After (RFC 6585 §4) in the official body; what it has already is served."""
    server = limited(handshakesPerSecond=2, handshakesBurst=3)
    session, *_ = [Polling(server) for _ in range(3)]
    refused = ask(server, "GET", HANDSHAKE)
    while refused.status == 200:
        refused = ask(server, "GET", HANDSHAKE)
    assert (refused.status, refused.code) == (429, 3)
    assert int(refused.headers["retry-after"]) >= 1
    upgrade = Peer(server).send(upgrade_request(f"{PATH}?EIO=4&transport=websocket")).answer()
    while upgrade.status == 101:
        upgrade = Peer(server).send(upgrade_request(f"{PATH}?EIO=4&transport=websocket")).answer()
    assert upgrade.status == 429
    assert session.join().echo()
    time.sleep(1)


def test_a_head_that_trickles_is_not_waited_for(limited):
    """408 (RFC 9110 §15.5.9) when its time is over, however regularly a byte comes; Node's headersTimeout does the same."""
    server = limited(requestTimeMs=1000)
    started = time.monotonic()
    peer = Peer(server)
    data = request("GET", HANDSHAKE, f"X: {'y' * 2_000}")
    for at in range(len(data)):
        peer.send(data[at : at + 1])
        if not peer.silent(0.01):
            break
    assert peer.answer().status == 408
    assert peer.closed()
    assert 0.95 < time.monotonic() - started < 10


@pytest.mark.parametrize("line", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
def test_a_body_that_trickles_is_not_waited_for(limited, line):
    """And its session is over: packets are lost."""
    session = Polling(limited(requestTimeMs=1000)).join()
    started = time.monotonic()
    peer = Peer(session.server).send(request("POST", session.target, line))
    chunk = b"1\r\n4\r\n" if "chunked" in line else b"4"
    while peer.send(chunk).silent(0.01) and time.monotonic() - started < 12:
        pass
    assert peer.answer().status == 408
    assert peer.closed()
    assert 0.95 < time.monotonic() - started < 10
    assert not session.is_alive()


def test_who_says_nothing_is_closed_without_an_answer(limited):
    peer = Peer(limited(requestTimeMs=400, keepAliveMs=400))
    assert peer.closed()


def test_an_idle_connection_is_closed_and_one_that_waits_is_not(limited):
    server = limited(keepAliveMs=400)
    idle = Peer(server).send(request("GET", "/"))
    session = Polling(server).join()
    poll, websocket = session.waiting_poll(), WebSocket.joined(server)
    assert idle.answer().status == 404
    assert idle.closed()
    assert poll.silent(0.5)
    session.post('42["echo",1]')
    assert poll.answer().text == '42["echo",1]'
    assert websocket.echo()


def test_who_does_not_take_the_answers_is_reset(limited):
    server = limited(requestTimeMs=500)
    Peer(server, receive_buffer=4096).flood(request("GET", "/") * 100, seconds=1, bytes_max=10_000_000)
    assert returns(server.fds, server.fds_before)


# ---- what waits for who does not read ------------------------------------------------------------------------------------------------


def test_a_client_that_does_not_read_is_disconnected_at_its_budget(limited):
    """The official server keeps all of it. What was emitted to the others arrives."""
    server = limited(outboundBytesMax=200_000)
    reader = WebSocket.joined(server, nsp="/dyn-1,")
    sleeper = WebSocket.joined(server, nsp="/dyn-1,", receive_buffer=4096)
    before, payload = server.rss_kib(), "x" * 50_000
    for _ in range(400):
        reader.pong().send(f'42/dyn-1,["bcast","{payload}"]')
        assert reader.text() == f'42/dyn-1,["bcast","{payload}"]'
    assert server.rss_kib() < before + 8 * 1024
    assert returns(server.fds, server.fds_before + 1)
    sleeper.peer.close()


def test_a_client_that_does_not_poll_is_disconnected_at_its_budget(limited):
    server = limited(outboundPacketsMax=50)
    session = Polling(server).join()
    session.post("\x1e".join(['42["echo",1]'] * 200))
    session.get()
    session.get()
    assert not session.is_alive()
