"""Emitting, rooms and what they answer, on both servers."""

import threading

import pytest
from conftest import PATIENCE_S, eventually, join

import sockeye_io
from sockeye_io.exceptions import DisconnectedError, TimeoutError


@pytest.fixture
def crowd(host, connect):
    """Three clients whose sids are known; they answer `ask` with their number."""
    host.sio.on("sid", host.handler(lambda sid: sid))
    host.start()
    clients = []
    for number in range(3):
        client = connect(host)
        client.on("ask", lambda *args, number=number: (number, *args))
        client.sid_there = client.call("sid")
        clients.append(client)
    return clients


def events(client, name):
    return [args for event, *args in client.received if event == name]


def settle(clients):
    """What was emitted before has arrived after this."""
    for client in clients:
        client.call("sid")


def test_to_one_to_a_room_to_several_and_to_all(host, crowd):
    a, b, c = crowd
    host.call("enter_room", a.sid_there, "r")
    host.call("enter_room", b.sid_there, ["r", "s"])
    host.call("emit", "one", 1, to=a.sid_there)
    host.call("emit", "room", (1, 2), room="r")
    host.call("emit", "several", to=["s", c.sid_there])
    host.call("emit", "all", {"x": 1}, skip_sid=a.sid_there)
    host.call("emit", "except", skip_sid=[c.sid_there], except_="s")
    host.call("send", "plain", to="s")
    settle(crowd)
    assert [events(client, "one") for client in crowd] == [[[1]], [], []]
    assert [events(client, "room") for client in crowd] == [[[1, 2]], [[1, 2]], []]
    assert [events(client, "several") for client in crowd] == [[], [[]], [[]]]
    assert [events(client, "all") for client in crowd] == [[], [[{"x": 1}]], [[{"x": 1}]]]
    assert [events(client, "except") for client in crowd] == [[[]], [], []]
    assert [events(client, "message") for client in crowd] == [[], [["plain"]], []]


def test_rooms_are_entered_left_and_closed(host, crowd):
    a, b, _ = (client.sid_there for client in crowd)
    host.call("enter_room", a, "r")
    host.call("enter_room", b, 7)
    assert sorted(host.call("rooms", a)) == sorted([a, "r"])
    assert sorted(host.call("rooms", b)) == sorted([b, "7"])
    host.call("leave_room", a, "r")
    assert host.call("rooms", a) == [a]
    host.call("close_room", 7)
    assert host.call("rooms", b) == [b]
    host.call("sockets_join", ["x", "y"], to=a)
    host.call("sockets_leave", "x")
    assert sorted(host.call("rooms", a)) == sorted([a, "y"])
    assert "y" in host.call("namespace_rooms") and "x" not in host.call("namespace_rooms")
    host.call("leave_room", "gone", "r")
    with pytest.raises(ValueError):
        host.call("enter_room", "gone", "r")


def test_call_returns_what_the_client_acknowledges(host, crowd):
    assert host.call("call", "ask", b"\x01", to=crowd[1].sid_there) == (1, b"\x01")
    assert host.call("call", "ask", sid=crowd[2].sid_there) == 2
    with pytest.raises(TimeoutError):
        crowd[0].on("mute", lambda: __import__("time").sleep(1))
        host.call("call", "mute", to=crowd[0].sid_there, timeout=0.05)
    with pytest.raises(KeyError):
        host.call("call", "ask", to="gone")
    with pytest.raises(ValueError):
        host.call("call", "ask")


def test_call_ends_when_the_client_leaves(host, crowd):
    crowd[0].on("leave", lambda: crowd[0].disconnect())
    with pytest.raises(DisconnectedError):
        host.call("call", "leave", to=crowd[0].sid_there)


def test_call_all_returns_what_each_acknowledges(host, crowd):
    assert sorted(host.call("call_all", "ask", timeout=PATIENCE_S)) == [0, 1, 2]
    over = threading.Event()
    crowd[1].on("some", lambda: over.wait())
    for at in (0, 2):
        crowd[at].on("some", lambda at=at: at)
    with pytest.raises(TimeoutError) as caught:
        host.call("call_all", "some", timeout=2)
    over.set()
    assert sorted(caught.value.replies) == [0, 2]


def test_callbacks_get_the_acknowledgement_of_one_and_of_each(host, crowd):
    got = []
    host.call("emit", "ask", "x", to=crowd[0].sid_there, callback=lambda *args: got.append(args))
    eventually(lambda: got == [(0, "x")])
    host.call("enter_room", crowd[1].sid_there, "r")
    host.call("enter_room", crowd[2].sid_there, "r")
    host.call("emit", "ask", room="r", callback=lambda *args: got.append(args))
    eventually(lambda: sorted(got) == [(0, "x"), (1,), (2,)])
    host.call("emit", "ask", to="gone", callback=got.append)


def test_fetch_sockets_shows_what_is_known_of_each(host, crowd):
    sid = crowd[0].sid_there
    host.call("enter_room", sid, "r")
    host.call("set_data", sid, {"name": "Ann"})
    (found,) = host.call("fetch_sockets", to="r")
    assert isinstance(found, sockeye_io.FetchedSocket)
    assert (found.sid, sorted(found.rooms), found.data) == (sid, sorted([sid, "r"]), {"name": "Ann"})
    assert len(host.call("fetch_sockets", except_="r")) == 2


def test_clients_are_disconnected_one_by_one_and_all(host, crowd):
    host.call("disconnect", crowd[0].sid_there)
    eventually(lambda: not crowd[0].connected)
    assert crowd[1].connected
    host.call("disconnect", crowd[0].sid_there)
    host.call("disconnect_sockets")
    eventually(lambda: not crowd[1].connected and not crowd[2].connected)


def test_what_cannot_be_sent_is_an_error_where_it_was_made(host, crowd):
    for value in (object(), float("nan"), {1: {2}}):
        with pytest.raises((TypeError, ValueError)):
            host.call("emit", "x", value)
    # As in python-socketio: nobody can be there.
    host.call("emit", "x", namespace="/nowhere")
    host.call("emit", "x", namespace="/nowhere", callback=print)
    host.call("close_room", "r", namespace="/nowhere")
    host.call("disconnect_sockets", namespace="/nowhere")
    for method in ("fetch_sockets", "namespace_rooms"):
        assert host.call(method, namespace="/nowhere") == []
    assert host.call("call_all", "x", namespace="/nowhere") == []
    assert host.call("rooms", "gone") == []
    host.call("emit", "x", "half \ud800 pair", to=crowd[0].sid_there)
    host.call("emit", "b", [b"ok"], to=crowd[0].sid_there)
    settle(crowd)
    assert events(crowd[0], "b") == [[[b"ok"]]]


def test_many_emissions_and_large_ones_arrive_in_order(host):
    sids = []
    host.sio.on("connect", host.handler(lambda sid, environ: sids.append(sid)))
    host.start()
    # Not python-socketio's client, whose handlers run in threads, in any order.
    raw = join(host)
    for number in range(1500):
        host.call("emit", "n", number, to=sids[0])
    host.call("emit", "large", b"x" * 900_000, to=sids[0])
    assert [raw.recv() for _ in range(1500)] == [f'42["n",{number}]' for number in range(1500)]
    assert raw.recv() == '451-["large",{"_placeholder":true,"num":0}]' and len(raw.recv()) == 900_000
    raw.close()


def test_sessions_environ_and_transport(host, connect):
    async def change_async(sid):
        async with host.sio.session(sid) as session:
            session["n"] = session.get("n", 0) + 1
        return session["n"]

    def change(sid):
        with host.sio.session(sid) as session:
            session["n"] = session.get("n", 0) + 1
        return session["n"]

    host.sio.on("change", change_async if host.asynchronous else change)
    host.sio.on("sid", host.handler(lambda sid: sid))
    host.start()
    client = connect(host, transports=["websocket"])
    assert [client.call("change"), client.call("change")] == [1, 2]
    sid = client.call("sid")
    environ = host.call("get_environ", sid)
    assert environ is host.call("get_environ", sid)
    assert environ["sockeye.handshake"]["query"]["EIO"] == "4"
    assert {**environ}["PATH_INFO"] == dict(environ)["PATH_INFO"] == environ.copy()["PATH_INFO"] == "/socket.io/"
    assert host.call("get_environ", "gone") is None
    assert host.call("transport", sid) == "websocket"


def test_metrics_count_what_happened(host, crowd):
    metrics = host.call("metrics")
    assert metrics["sockets"] == 3 and metrics["connects_accepted"] == 3 and len(metrics["loop_lag"]) == 16
    assert "sockeye_sockets" in host.call("metrics_text")


def test_an_environ_is_a_dict_from_whatever_side_it_is_first_looked_at():
    from sockeye_io._environ import HandshakeEnviron

    def made():
        return HandshakeEnviron('{"url":"/x?a=1","headers":{"host":"h:1","x-one":"1"},"address":"127.0.0.1","secure":true}')

    expected = dict(made().items())
    assert expected["wsgi.url_scheme"] == "https" and expected["sockeye.handshake"]["address"] == "127.0.0.1"
    expected.pop("wsgi.input")

    def without_input(environ):
        return {name: value for name, value in environ.items() if name != "wsgi.input"}

    looks = (dict, lambda e: {**e}, lambda e: e | {}, lambda e: {} | e, lambda e: e.copy(), lambda e: {k: e[k] for k in e}, lambda e: dict(e.items()))
    for look in looks:
        assert without_input(look(made())) == expected
    assert isinstance(made(), dict) and made() and len(made()) == len(expected) + 1
    assert made().get("HTTP_X_ONE") == "1" and "HTTP_X_ONE" in made() and made().pop("HTTP_X_ONE") == "1"
    changed = made()
    changed["HTTP_X_ONE"] = "2"
    assert changed["HTTP_X_ONE"] == "2" and "HTTP_X_ONE" in repr(changed)


def test_text_that_is_none_is_an_error_of_who_says_it_and_of_nobody_else(host, connect):
    half = "\ud800"

    async def say_async(sid, where):
        await host.sio.emit("said", 1)
        await (host.sio.enter_room(sid, half) if where == "room" else host.sio.emit(half))

    def say(sid, where):
        host.sio.emit("said", 1)
        host.sio.enter_room(sid, half) if where == "room" else host.sio.emit(half)

    host.sio.on("say", say_async if host.asynchronous else say)
    host.start()
    client = connect(host)
    for where in ("room", "event"):
        client.emit("say", where)
    eventually(lambda: client.received == [("said", 1)] * 2)
    for how in ({"to": half}, {"skip_sid": half}, {"except_": [half]}):
        with pytest.raises(UnicodeEncodeError):
            host.call("emit", "x", **how)
    with pytest.raises(UnicodeEncodeError):
        host.call("emit", half)
