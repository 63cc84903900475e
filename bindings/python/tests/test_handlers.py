"""Handlers of both servers, driven by python-socketio's client: what they are given, and what becomes of what they give."""

import asyncio
import time

import pytest
import socketio
from conftest import PATIENCE_S, eventually, join, opened

import sockeye_io
from sockeye_io import _ffi


def test_an_event_gives_its_arguments_and_the_result_is_the_acknowledgement(host, connect):
    host.sio.on("one", host.handler(lambda sid, *args: list(args)))
    host.sio.on("several", host.handler(lambda sid, a, b: (b, a)))
    host.sio.on("nothing", host.handler(lambda sid: None))
    host.start()
    client = connect(host)
    assert client.call("one", ("x", 2)) == ["x", 2]
    assert client.call("several", ("x", {"y": None})) == ({"y": None}, "x")
    assert client.call("nothing") is None


def test_decorators_name_handlers(host, connect):
    @host.sio.event
    def greet(sid, name):
        return f"hello {name}"

    @host.sio.event(namespace="/other")
    def where(sid):
        return "other"

    @host.sio.on("with space")
    def spaced(sid):
        return True

    host.start()
    assert connect(host).call("greet", "Ann") == "hello Ann"
    assert connect(host, "/other").call("where", namespace="/other") == "other"
    assert connect(host).call("with space") is True


def test_catch_all_handlers_take_what_nobody_else_does(host, connect):
    host.sio.on("known", host.handler(lambda sid: "known"))
    host.sio.on("*", host.handler(lambda event, sid, *args: [event, *args]))
    host.sio.on("*", host.handler(lambda event, namespace, sid, *args: [event, namespace]), namespace="*")
    host.start()
    client = connect(host)
    assert client.call("known") == "known"
    assert client.call("other", 1) == ["other", 1]
    assert connect(host, "/any").call("other", namespace="/any") == ["other", "/any"]


def test_binary_is_found_at_any_depth_in_both_directions(host, connect):
    seen = []
    host.sio.on("bin", host.handler(lambda sid, value: (seen.append(value), value)[1]))
    host.start()
    value = {"list": [b"\x00\xff", {"deep": b""}], "_placeholder": False, "text": "\u00e9\U0001f600"}
    assert connect(host).call("bin", value) == value
    assert seen == [value]


def test_connect_gets_environ_and_auth_and_may_refuse_with_data(host, connect):
    seen = []

    def on_connect(sid, environ, auth):
        seen.append((environ["QUERY_STRING"], environ["HTTP_X_TOKEN"], environ["REMOTE_ADDR"], auth))
        if auth["name"] == "Eve":
            raise sockeye_io.ConnectionRefusedError("not you", {"code": 7})
        if auth["name"] == "Trent":
            raise ConnectionRefusedError("Python's own")
        return auth["name"] != "Mallory"

    host.sio.on("connect", host.handler(on_connect))
    host.start()
    connect(host, auth={"name": "Ann"}, headers={"X-Token": "t"})
    assert "EIO=4" in seen[0][0] and seen[0][1:] == ("t", "127.0.0.1", {"name": "Ann"})
    for name, message in (("Eve", {"message": "not you", "data": {"code": 7}}), ("Mallory", {"message": "Connection rejected by server"}),
                          ("Trent", {"message": "Connection refused by server"})):  # fmt: skip
        refused = []
        client = socketio.Client(reconnection=False)
        client.on("connect_error", refused.append)
        with pytest.raises(socketio.exceptions.ConnectionError):
            client.connect(host.url, auth={"name": name}, headers={"X-Token": "t"}, wait_timeout=PATIENCE_S)
        assert refused == [message]


def test_connect_may_take_two_arguments_and_disconnect_one(host, connect):
    seen = []
    host.sio.on("connect", host.handler(lambda sid, environ: seen.append("connect")))
    host.sio.on("disconnect", host.handler(lambda sid: seen.append("disconnect")))
    host.start()
    connect(host, auth={"any": 1}).disconnect()
    eventually(lambda: seen == ["connect", "disconnect"])


def test_disconnect_is_told_the_reason_with_session_and_rooms_still_there(host, connect):
    seen = []

    async def left_async(sid, reason):
        seen.append((reason, sorted(host.sio.rooms(sid)) == sorted([sid, "r"]), await host.sio.get_session(sid)))

    def left(sid, reason):
        seen.append((reason, sorted(host.sio.rooms(sid)) == sorted([sid, "r"]), host.sio.get_session(sid)))

    host.sio.on("disconnect", left_async if host.asynchronous else left)
    host.sio.on("sid", host.handler(lambda sid: sid))
    host.start()
    client = connect(host)
    sid = client.call("sid")
    host.call("enter_room", sid, "r")
    host.call("save_session", sid, {"name": "Ann"})
    client.disconnect()
    eventually(lambda: seen)
    # This client closes its connection before what it sent last is surely out.
    reasons = (host.sio.reason.CLIENT_DISCONNECT, host.sio.reason.TRANSPORT_CLOSE)
    assert seen[0][0] in reasons and seen[0][1:] == (True, {"name": "Ann"})
    with pytest.raises(KeyError):
        host.call("get_session", sid)


def test_an_exception_is_logged_with_its_traceback_and_the_socket_lives(host, connect, caplog):
    def fails(sid):
        raise RuntimeError("what a pity")

    host.sio.on("fails", host.handler(fails))
    host.sio.on("alive", host.handler(lambda sid: True))
    host.sio.on("odd", host.handler(lambda sid: object()))
    host.start()
    client = connect(host)
    client.emit("fails")
    client.emit("odd", callback=lambda: None)
    assert client.call("alive") is True
    eventually(lambda: "what a pity" in caplog.text and "acknowledgement of 'odd'" in caplog.text)
    assert "in fails" in caplog.text


def test_arguments_that_python_cannot_read_cost_only_their_event(host, connect, caplog):
    host.sio.on("ack", host.handler(lambda sid, value: value))
    host.start()
    raw = join(host)
    raw.send('420["ack",' + "9" * 5000 + "]")
    raw.send('421["ack",' + "[" * 1000 + "]" * 1000 + "]")
    raw.send('422["ack","after"]')
    # Some versions of Python read the deep one.
    while not (answer := raw.recv()).startswith("432"):
        pass
    assert answer == '432["after"]'
    raw.close()
    assert "cannot be read" in caplog.text


def test_events_without_a_handler_are_not_acknowledged(host, connect):
    host.start()
    with pytest.raises(socketio.exceptions.TimeoutError):
        connect(host).call("nobody", timeout=0.3)


def test_classes_of_handlers(make, connect):
    host = make()
    base = sockeye_io.AsyncNamespace if host.asynchronous else sockeye_io.Namespace

    class Plain(base):
        def on_connect(self, sid, environ):
            self.seen = environ["PATH_INFO"]

        def on_where(self, sid, *args):
            return [self.namespace, *args]

        if host.asynchronous:

            async def on_enter(self, sid):
                # The namespace by name, by place, and not at all.
                await self.enter_room(sid, "a", namespace="/plain")
                await self.enter_room(sid, "b", "/plain")
                await self.enter_room(sid, "c")
                return sorted(room for room in self.rooms(sid) if room != sid)

        else:

            def on_enter(self, sid):
                self.enter_room(sid, "a", namespace="/plain")
                self.enter_room(sid, "b", "/plain")
                self.enter_room(sid, "c")
                return sorted(room for room in self.rooms(sid) if room != sid)

    host.sio.register_namespace(Plain("/plain"))
    with pytest.raises(ValueError):
        host.sio.register_namespace(object())
    host.start()
    assert connect(host, "/plain").call("where", 1, namespace="/plain") == ["/plain", 1]
    assert connect(host, "/plain").call("enter", namespace="/plain") == ["a", "b", "c"]


def test_a_class_may_find_its_handlers_itself(make, connect):
    host = make()
    if host.asynchronous:

        class Own(sockeye_io.AsyncNamespace):
            async def trigger_event(self, event, *args):
                return [event, len(args)] if event not in ("connect", "disconnect") else None

    else:

        class Own(sockeye_io.Namespace):
            def trigger_event(self, event, *args):
                return [event, len(args)] if event not in ("connect", "disconnect") else None

    host.sio.register_namespace(Own("/own"))
    host.start()
    assert connect(host, "/own").call("what", "x", namespace="/own") == ["what", 2]


def test_handlers_of_one_client_wait_for_each_other_if_asked_to(make, connect):
    host = make(async_handlers=False)
    order = []

    async def slow_async(sid, n):
        await asyncio.sleep(0.02)
        order.append(n)

    def slow(sid, n):
        time.sleep(0.02)
        order.append(n)

    host.sio.on("slow", slow_async if host.asynchronous else slow)
    host.sio.on("end", host.handler(lambda sid: order.append("end")))
    host.start()
    client = connect(host)
    for n in range(5):
        client.emit("slow", n)
    client.call("end")
    assert order == [0, 1, 2, 3, 4, "end"]


def test_clients_are_let_in_before_their_handler_if_asked_to(make):
    host = make(always_connect=True)
    left = []
    host.sio.on("connect", host.handler(lambda sid, environ: False))
    host.sio.on("disconnect", host.handler(lambda sid, reason: left.append(reason)))
    host.start()
    # Not python-socketio's client, which overlooks a DISCONNECT that comes before its connect() has returned.
    raw = opened(host)
    assert [raw.recv()[:2] for _ in range(2)] == ["40", "41"]
    eventually(lambda: left == ["server disconnect"])
    raw.close()


def test_handlers_may_be_added_while_the_server_runs(host, connect):
    host.start()
    host.sio.on("late", host.handler(lambda sid: "late"), namespace="/late")
    assert connect(host, "/late").call("late", namespace="/late") == "late"
    assert "/nowhere" not in host.sio.handlers
    client = socketio.Client(reconnection=False)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(host.url, namespaces=["/nowhere"], wait_timeout=PATIENCE_S)


def test_what_is_emitted_while_connect_runs_comes_after_the_answer(make):
    for always_connect in (False, True):
        host = make(always_connect=always_connect)

        async def on_connect_async(sid, environ):
            await host.sio.emit("first", to=sid)
            await asyncio.sleep(0.05)
            await host.sio.emit("second", to=sid)

        def on_connect(sid, environ):
            host.sio.emit("first", to=sid)
            time.sleep(0.05)
            host.sio.emit("second", to=sid)

        host.sio.on("connect", on_connect_async if host.asynchronous else on_connect)
        host.start()
        raw = opened(host)
        assert [raw.recv()[:10] for _ in range(3)] == ['40{"sid":"', '42["first"', '42["second']
        raw.close()


def test_a_client_may_be_disconnected_by_its_connect_handler(host):
    async def on_connect_async(sid, environ):
        await host.sio.disconnect(sid)

    host.sio.on("connect", on_connect_async if host.asynchronous else lambda sid, environ: host.sio.disconnect(sid))
    host.start()
    raw = opened(host)
    assert [raw.recv()[:2] for _ in range(2)] == ["40", "41"]
    raw.close()


def test_what_an_exception_says_is_for_the_log_and_not_for_the_client(host, caplog):
    class InnerError(Exception):
        message, data = "an inner secret", {"of": "the server"}

    def on_connect(sid, environ, auth):
        raise InnerError

    host.sio.on("connect", host.handler(on_connect))
    host.start()
    raw = opened(host)
    assert raw.recv() == '44{"message":"Connection rejected by server"}'
    raw.close()
    eventually(lambda: "InnerError" in caplog.text)


def test_a_client_is_found_in_its_own_namespace_only(host, connect):
    host.start()
    client = connect(host)
    sid = client.get_sid()
    host.call("leave_room", sid, sid, "/other")
    host.call("disconnect", sid, "/other")
    assert host.call("get_environ", sid, "/other") is None and host.call("rooms", sid, "/other") == []
    assert host.call("rooms", sid, "/") == [sid] and host.call("get_environ", sid)["REQUEST_METHOD"] == "GET"
    host.call("disconnect", sid, "/")
    eventually(lambda: not client.connected)


def test_a_refusal_whose_data_cannot_be_sent_is_one_all_the_same(host, connect, caplog):
    def on_connect(sid, environ, auth):
        if auth:
            raise sockeye_io.ConnectionRefusedError("no", object())

    host.sio.on("connect", host.handler(on_connect))
    host.sio.on("alive", host.handler(lambda sid: True))
    host.start()
    with pytest.raises(socketio.exceptions.ConnectionError):
        connect(host, auth={"any": 1})
    assert "cannot be sent" in caplog.text
    assert connect(host).call("alive") is True


def test_namespaces_that_clients_made_end_with_their_last_client(host, connect):
    host.sio.on("where", host.handler(lambda namespace, sid: namespace), namespace="*")
    host.start()
    for _ in range(2):
        client = connect(host, "/made")
        assert client.call("where", namespace="/made") == "/made"
        assert host.call("namespace_rooms", "/made") and len(host.call("fetch_sockets", namespace="/made")) == 1
        client.disconnect()
        eventually(lambda: "/made" not in host.sio._nsp_ids)
        host.call("emit", "anybody", namespace="/made")
        assert host.call("fetch_sockets", namespace="/made") == []
    # That of a client which the program registers handlers for is its own, and stays.
    client = connect(host, "/made")
    host.sio.on("own", host.handler(lambda sid: "own"), namespace="/made")
    assert client.call("own", namespace="/made") == "own"
    client.disconnect()
    eventually(lambda: not host.call("namespace_rooms", "/made"))
    assert set(host.sio._nsps.values()) == {"/", "/made"}


def test_a_client_may_come_before_the_word_of_its_namespace(host, connect):
    host.sio.on("where", host.handler(lambda namespace, sid: namespace), namespace="*")
    took = host.sio._on_event
    host.sio._on_event = lambda event: None if event.kind == _ffi.EVENT_NAMESPACE else took(event)
    host.start()
    assert connect(host, "/made").call("where", namespace="/made") == "/made"
