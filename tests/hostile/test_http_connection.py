"""What a client can do with its connection: pipelines, slowness, silence, and ends of every kind."""

import threading
import time

import pytest

from conftest import RETURN_TIMEOUT_S
from sessions import HANDSHAKE, Polling
from wire import Peer, ask, request

# The setting of the servers here.
CONNECT_TIMEOUT_S = 5
HANDSHAKE_REQUEST = request("GET", HANDSHAKE)


# ---- pipelines (RFC 9112 §9.3.2) -------------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(server):
    targets = ["/", HANDSHAKE, "/socket.io/", "/socket.io/?EIO=3&transport=polling", "/"]
    peer = Peer(server).send(b"".join(request("GET", target) for target in targets))
    answers = [peer.answer() for _ in targets]
    assert [answer.status for answer in answers] == [404, 200, 400, 400, 404]
    assert [answers[2].code, answers[3].code] == [0, 5]


def test_500_pipelined_handshakes_are_answered(server):
    peer = Peer(server).send(HANDSHAKE_REQUEST * 500)
    assert all(peer.answer().status == 200 for _ in range(500))


def test_a_request_behind_a_poll_waits_for_its_answer(server):
    session = Polling(server).join()
    peer = Peer(server).send(request("GET", session.target) + HANDSHAKE_REQUEST)
    assert peer.silent(0.1)
    session.post('42["echo",1]')
    assert peer.answer().text == '42["echo",1]'
    assert peer.answer().status == 200


def test_a_poll_behind_a_poll_on_one_connection_is_no_overlap(server):
    """The second one is not there until the first has its answer."""
    session = Polling(server).join()
    peer = Peer(server).send(request("GET", session.target) * 2)
    session.post('42["echo",1]')
    assert peer.answer().text == '42["echo",1]'
    session.post('42["echo",2]')
    assert peer.answer().text == '42["echo",2]'


@pytest.mark.parametrize("behind", ["an answer", "a poll"])
def test_a_pipeline_that_nobody_reads_the_answers_of_stops(server, behind):
    """As Node stops reading a connection whose answers pile up: it is the sender that waits, and the server holds next to nothing."""
    peer = Peer(server, receive_buffer=4096)
    if behind == "a poll":
        peer.send(request("GET", Polling(server).join().target))
    before = server.rss_kib()
    taken = peer.flood(request("GET", "/") * 100, seconds=1.5, bytes_max=100_000_000)
    # What the two kernels hold, and what is read ahead.
    assert taken < 20_000_000
    assert server.rss_kib() < before + 8 * 1024


def test_the_answers_of_a_pipeline_come_when_they_are_read(server):
    """Nothing is lost by the wait."""
    count = 20_000
    peer = Peer(server, receive_buffer=4096)
    sender = threading.Thread(target=peer.send, args=[request("GET", "/") * count])
    sender.start()
    time.sleep(0.5)
    assert all(peer.answer().status == 404 for _ in range(count))
    sender.join()


# ---- slowness --------------------------------------------------------------------------------------------------------------------


def test_a_head_that_comes_byte_by_byte_is_read(server):
    assert Peer(server).trickle(HANDSHAKE_REQUEST).answer().status == 200


def test_a_poll_that_is_answered_byte_by_byte_is_whole(server):
    """A reader with a small window, and an answer that is larger than it."""
    session = Polling(server).join()
    packet = f'42["echo","{"x" * 900_000}"]'
    session.post(packet)
    peer = Peer(server, receive_buffer=4096).send(request("GET", session.target))
    time.sleep(0.2)
    assert peer.answer().text == packet


def test_clients_that_say_nothing_hold_up_nobody(server):
    peers = [Peer(server) for _ in range(300)]
    assert ask(server, "GET", HANDSHAKE).status == 200
    assert all(peer.silent(0.001) for peer in peers[:20])


def test_clients_that_stop_inside_of_a_head_hold_up_nobody(server):
    for at in range(300):
        Peer(server).send(HANDSHAKE_REQUEST[: 1 + at % (len(HANDSHAKE_REQUEST) - 1)])
    assert ask(server, "GET", HANDSHAKE).status == 200


# ---- ends ------------------------------------------------------------------------------------------------------------------------


def test_connections_that_are_reset_at_once_leave_nothing(server):
    for _ in range(500):
        Peer(server).reset()


def test_requests_whose_answers_nobody_awaits_leave_nothing(server):
    for _ in range(300):
        Peer(server).send(HANDSHAKE_REQUEST).reset()


def test_a_half_closed_connection_gets_its_answer(server):
    """The end came after a whole request (RFC 9112 §9.6)."""
    peer = Peer(server).send(HANDSHAKE_REQUEST).half_close()
    assert peer.answer().status == 200
    assert peer.closed()


def test_a_half_closed_connection_without_a_request_is_closed(server):
    assert Peer(server).half_close().closed()
    assert Peer(server).send(HANDSHAKE_REQUEST[:20]).half_close().closed()


@pytest.mark.parametrize("end", [Peer.reset, Peer.close, Peer.half_close], ids=["reset", "closed", "half-closed"])
def test_a_poll_whose_connection_ends_takes_its_session_along(server, end):
    """`transport error` in the official server: an answer may be lost, so the session cannot go on."""
    session = Polling(server).join()
    end(session.waiting_poll())
    deadline = time.monotonic() + RETURN_TIMEOUT_S
    while session.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not session.is_alive()


def test_a_client_that_wants_no_keep_alive_is_closed_after_the_answer(server):
    for options in ({"version": "1.0"}, {"lines": ["Connection: close"]}, {"lines": ["Connection: x, CLOSE"]}):
        data = request("GET", HANDSHAKE, *options.get("lines", []), version=options.get("version", "1.1"))
        peer = Peer(server).send(data + HANDSHAKE_REQUEST)
        assert peer.answer().headers["connection"] == "close"
        assert peer.closed()


def test_handshakes_without_a_poll_end_by_connect_timeout(server):
    """500 of them. Who polls after all is told so, as by the official server (server-behaviour.md 2.12)."""
    sessions = [Polling(server) for _ in range(500)]
    time.sleep(CONNECT_TIMEOUT_S + 1.5)
    # Those that came first may have been forgotten on a loaded machine: they are so long after their last ping.
    for session in sessions[-100::10]:
        assert session.take(1) == ["6", "1"]
        assert not session.is_alive()
