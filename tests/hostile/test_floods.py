"""More of everything than anyone needs, each bit of it allowed: what it costs is bounded, and goes with who caused it."""

import time

import pytest

from conftest import returns
from sessions import FIN, NO_CODE, PING, TEXT, Polling, WebSocket, frame
from wire import Peer, request

# What the allocator may keep of a flood that is over.
KEPT_KIB = 8 * 1024
ACKS_OWED_MAX = 65_536
NAMESPACES_MAX = 1_024


@pytest.fixture
def websocket(server):
    return WebSocket.joined(server)


def batches(messages, count=1_000):
    for at in range(0, len(messages), count):
        yield messages[at : at + count]


def flood(websocket, messages):
    """Sends them, and sees to it that they were all read."""
    for batch in batches(messages):
        websocket.pong().send(*batch)
        assert websocket.echo()


def test_200000_names_of_events_are_not_kept(server, websocket):
    """Peers' names are not interned."""
    before = server.rss_kib()
    flood(websocket, [f'42["event-{number}",1]' for number in range(200_000)])
    assert server.rss_kib() < before + KEPT_KIB


def test_100000_rooms_that_nobody_is_in_are_not_kept(server, websocket):
    before = server.rss_kib()
    flood(websocket, [f'42["room-emit","room-{number}","x"]' for number in range(100_000)])
    assert server.rss_kib() < before + KEPT_KIB


def test_rooms_that_are_joined_and_left_are_not_kept(server, websocket):
    before = server.rss_kib()
    flood(websocket, [f'42["{verb}","room-{number}"]' for number in range(50_000) for verb in ("join", "leave")])
    assert server.rss_kib() < before + KEPT_KIB


def test_acks_that_answer_nothing_are_not_kept(server, websocket):
    before = server.rss_kib()
    flood(websocket, [f"43{number}[1]" for number in range(200_000)])
    assert server.rss_kib() < before + KEPT_KIB


def test_answers_that_the_host_owes_are_bounded(server, websocket):
    """Events that ask for an acknowledgement and that no handler answers: the official server keeps a closure for each for ever."""
    for batch in batches([f'42{number}["nobody"]' for number in range(ACKS_OWED_MAX)]):
        websocket.send("3", *batch)
    assert websocket.echo()
    websocket.send('427["nobody"]')
    assert websocket.closed() == NO_CODE


def test_sessions_that_hoard_answers_give_them_back(server):
    def hoard():
        websocket = WebSocket.joined(server)
        for batch in batches([f'42{number}["nobody"]' for number in range(ACKS_OWED_MAX - 1)]):
            websocket.send("3", *batch)
        assert websocket.echo()
        websocket.peer.close()

    hoard()
    before = server.rss_kib()
    for _ in range(5):
        hoard()
    assert returns(server.rss_kib, before + KEPT_KIB)


def test_namespaces_of_a_session_are_bounded(server, websocket):
    """One too many is refused as an unknown one is, and the session stays."""

    def connect(name):
        websocket.pong().send(f"40{name},")
        while not (text := websocket.text()).startswith((f"40{name},", f"44{name},")):
            assert '["auth",' in text
        return text

    for number in range(NAMESPACES_MAX - 1):
        assert connect(f"/dyn-{number}").startswith("40")
    assert connect("/custom").startswith('44/custom,{"message":"Too many namespaces",')
    websocket.send("41/dyn-0,")
    assert connect("/custom").startswith("40")


def test_connects_in_one_breath_are_answered_in_order(websocket):
    names = [f"/dyn-{number}" for number in range(500)]
    websocket.send(*[f"40{name}," for name in names])
    answers = []
    while len(answers) < len(names):
        text = websocket.text()
        if text.startswith("40"):
            answers.append(text[2 : text.index(",")])
    assert answers == names


def test_300_polling_sessions_are_served_and_forgotten(server):
    sessions = [Polling(server) for _ in range(300)]
    assert all(session.post("40").text == "ok" for session in sessions[::20])
    for session in sessions:
        session.leave()
    assert not any(session.is_alive() for session in sessions[::20])


def test_300_polls_that_wait_hold_up_nobody(server):
    waiting = []
    for _ in range(300):
        session = Polling(server)
        waiting.append((session, Peer(server).send(request("GET", session.target))))
    assert Polling(server).join().echo()
    # The time to connect of those that came first may be over on a loaded machine.
    for session, poll in waiting[-30::3]:
        session.post("1")
        assert poll.answer().text in ("6", "2")


def test_a_broadcast_to_many_that_do_not_read_holds_up_nobody(server, websocket):
    """64 readers with a small window, and 6 MB for each: the sender and the bystander are served meanwhile."""
    readers = [WebSocket.joined(server, nsp="/dyn-7,", receive_buffer=4096) for _ in range(64)]
    sender = WebSocket.joined(server, nsp="/dyn-8,")
    for _ in range(6):
        sender.send(f'42/dyn-8,["io-emit",null,"x","{"x" * 1_000}"]')
    talker = readers[0]
    for _ in range(60):
        talker.send(f'42/dyn-7,["bcast","{"x" * 100_000}"]')
    started = time.monotonic()
    assert websocket.echo()
    assert time.monotonic() - started < 20


def test_1000_messages_in_one_segment_are_answered_in_order(websocket):
    websocket.send(*[f'42{number}["ack",{number}]' for number in range(1_000)])
    assert [websocket.text() for _ in range(1_000)] == [f"43{number}[{number}]" for number in range(1_000)]


def test_control_frames_between_100000_messages_cost_nothing(server, websocket):
    before = server.rss_kib()
    for _ in range(100):
        websocket.send_raw((frame(TEXT, b'42["nobody"]') + frame(PING, b"", FIN)) * 1_000)
        websocket.pong()
        for _ in range(1_000):
            websocket.next()
    assert server.rss_kib() < before + KEPT_KIB
