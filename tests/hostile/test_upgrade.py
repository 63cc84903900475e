"""Upgrades that go wrong, on purpose (engine-io.md §5). A failed one leaves the session as it was, on polling."""

import time

import pytest

from conftest import RETURN_TIMEOUT_S
from sessions import ABNORMAL, CLOSE, HANDSHAKE, NO_CODE, TEXT, Polling, WebSocket, frame, header
from wire import Peer, ask, request

# The setting of the servers here.
UPGRADE_TIMEOUT_S = 5


@pytest.fixture
def session(server):
    return Polling(server).join()


def candidate(session, **options):
    return WebSocket(session.server, query=f"&sid={session.sid}", **options)


def probed(session):
    websocket = candidate(session).send("2probe")
    assert websocket.text() == "3probe"
    return websocket


def upgraded(session):
    websocket = probed(session).send("5")
    assert websocket.echo()
    return websocket


# ---- a candidate that says the wrong thing -----------------------------------------------------------------------------------------

WRONG_PACKETS = {
    "a ping without a word": "2",
    "a ping with another word": "2probe!",
    "a pong": "3probe",
    "a message": '42["echo",1]',
    "a connect": "40",
    "an open packet": "0{}",
    "a close packet": "1",
    "a noop": "6",
    "an unknown type": "9",
    "nothing": "",
    "bytes": b"2probe",
}


@pytest.mark.parametrize("probing", [False, True], ids=["at first", "after the probe"])
@pytest.mark.parametrize("packet", WRONG_PACKETS.values(), ids=WRONG_PACKETS)
def test_a_candidate_with_another_packet_is_closed_and_the_session_stays(session, packet, probing):
    websocket = probed(session) if probing else candidate(session)
    websocket.send(packet)
    assert websocket.closed() == NO_CODE
    assert session.echo()


BAD_FRAMES = {
    "not masked": (bytes([0x81, 6]) + b"2probe", 1002),
    "a reserved bit": (frame(TEXT, b"2probe", 0xC0), 1002),
    "too large": (header(0x81, 1_000_001) + bytes(4), 1009),
    "no UTF-8": (frame(TEXT, b"2\xff"), 1007),
}


@pytest.mark.parametrize("data, code", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_candidate_with_a_bad_frame_is_closed_and_the_session_stays(session, data, code):
    websocket = candidate(session).send_raw(data)
    assert websocket.closed() == code
    assert session.echo()


def test_a_candidate_may_probe_twice(session):
    """The official server answers each."""
    websocket = probed(session).send("2probe", "2probe")
    assert (websocket.text(), websocket.text()) == ("3probe", "3probe")
    websocket.send("5")
    assert websocket.echo()


def test_a_candidate_may_upgrade_without_a_probe(session):
    """As with the official server: it knows the sid, which is all that the probe would show."""
    websocket = candidate(session).send("5")
    assert websocket.echo()
    assert session.get().code == 3


def test_a_candidate_that_probes_without_end_and_does_not_read_is_closed(server, session):
    websocket = candidate(session, receive_buffer=4096)
    before = server.rss_kib()
    websocket.peer.flood(frame(TEXT, b"2probe") * 1_000, seconds=1, bytes_max=30_000_000)
    assert server.rss_kib() < before + 8 * 1024
    websocket.peer.close()
    assert session.echo()


# ---- a candidate that goes away or stays silent ------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [candidate, probed], ids=["at first", "after the probe"])
@pytest.mark.parametrize("end", [Peer.reset, Peer.close, Peer.half_close], ids=["reset", "closed", "half-closed"])
def test_a_candidate_that_goes_away_leaves_the_session(session, start, end):
    end(start(session).peer)
    assert session.echo()
    # Another may try.
    deadline = time.monotonic() + RETURN_TIMEOUT_S
    while time.monotonic() < deadline:
        websocket = candidate(session).send("2probe")
        opcode, payload = websocket.next()
        if opcode != CLOSE:
            break
    assert payload == b"3probe"


@pytest.mark.parametrize("start", [candidate, probed], ids=["at first", "after the probe"])
def test_a_candidate_that_stays_silent_is_closed_by_upgrade_timeout(session, start):
    started = time.monotonic()
    assert start(session).closed() == NO_CODE
    assert UPGRADE_TIMEOUT_S * 0.9 <= time.monotonic() - started
    assert session.echo()


def test_a_candidate_that_stops_inside_of_a_frame_is_closed_by_upgrade_timeout(session):
    websocket = candidate(session).send_raw(frame(TEXT, b"2probe")[:-1])
    assert websocket.closed() == NO_CODE
    assert session.echo()


# ---- two at a time, and others' sessions -------------------------------------------------------------------------------------------


def test_a_second_candidate_is_closed_and_the_first_goes_on(session):
    """server-behaviour.md 2.4."""
    first = probed(session)
    for packet in ("2probe", "5"):
        assert candidate(session).send(packet).closed() in (NO_CODE, ABNORMAL)
    first.send("5")
    assert first.echo()


def test_a_session_that_began_on_websocket_is_not_taken_over(server):
    """The official server hands it to who knows the sid, which no client of it asks for and a thief of an id could."""
    websocket = WebSocket.joined(server)
    for packets in (["2probe", "5"], ["5"], ['42["echo",1]']):
        thief = WebSocket(server, query=f"&sid={websocket.sid}").send(*packets)
        assert thief.closed() in (NO_CODE, ABNORMAL)
        assert websocket.echo()


def test_an_upgraded_session_is_not_taken_over(session):
    websocket = upgraded(session)
    for packets in (["2probe", "5"], ["5"]):
        assert candidate(session).send(*packets).closed() in (NO_CODE, ABNORMAL)
        assert websocket.echo()


def test_polling_after_the_upgrade_is_refused_and_does_no_harm(server, session):
    websocket = upgraded(session)
    for method, body in [("GET", b""), ("POST", b"1"), ("POST", b"2")]:
        answer = ask(server, method, session.target, body=body)
        assert (answer.status, answer.code) == (400, 3)
    assert websocket.echo()


def test_a_poll_that_waits_is_released_by_the_upgrade(session):
    waiting = session.waiting_poll()
    websocket = candidate(session).send("5")
    assert websocket.echo()
    assert waiting.answer().text == "6"


def test_a_post_that_began_before_the_upgrade_ends_without_harm(server, session):
    """It is answered like any request of a transport that is over."""
    post = session.waiting_post(12, b'42["echo"')
    websocket = upgraded(session)
    post.send(b",2]")
    assert post.answer().status == 400
    assert websocket.echo()


def test_closing_the_session_on_polling_closes_the_candidate(session):
    websocket = probed(session)
    session.leave()
    assert websocket.closed() == NO_CODE
    assert not session.is_alive()


def test_an_overlap_of_polls_closes_the_candidate(session):
    websocket = probed(session)
    waiting = session.waiting_poll()
    assert session.get().status == 400
    assert waiting.answer().text == "1"
    assert websocket.closed() == NO_CODE


def test_a_candidate_for_a_session_that_is_closing_is_closed(server):
    """It was told of its end with a poll that never came."""
    session = Polling(server).join()
    session.post("40")
    websocket = candidate(session)
    assert websocket.send("2probe").closed() in (NO_CODE, ABNORMAL)


def test_200_candidates_of_one_session_leave_one(server, session):
    first = probed(session)
    for _ in range(200):
        candidate(session).peer.close()
    first.send("5")
    assert first.echo()
    assert ask(server, "GET", f"{HANDSHAKE}&sid={session.sid}").code == 3
