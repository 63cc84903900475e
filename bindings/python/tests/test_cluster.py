"""Servers in a cluster over a Redis of the tests' own: what the client tests, which run on the testbed too, cannot see from outside."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time

import pytest
from conftest import PATIENCE_S, AsyncHost, ThreadHost, eventually
from ports import free_port

import sockeye_io
from sockeye_io.exceptions import DisconnectedError, EngineError, TimeoutError, UnknownClientError


@pytest.fixture(scope="module")
def redis_url():
    """A Redis on a port of its own."""
    port = free_port()
    command = [shutil.which("redis-server"), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def answers():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True

    eventually(answers)
    yield f"redis://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture
def pair(redis_url):
    """Two servers of a cluster, one of each kind."""
    made = [AsyncHost(client_manager=sockeye_io.AsyncRedisManager(redis_url, requestsTimeout=3000)),
            ThreadHost(client_manager=sockeye_io.RedisManager(redis_url, requestsTimeout=3000))]  # fmt: skip
    for host in made:
        host.sio.on("connect", host.handler(lambda sid, environ: None))
        host.start()
    for host in made:
        eventually(lambda host=host: _count(host) == 2)
    yield made
    for host in made:
        host.stop()


def _count(host):
    try:
        return host.call("server_count")
    except TimeoutError:
        return 0


def _count_in(namespace):
    try:
        return namespace.server_count()
    except TimeoutError:
        return 0


def test_all_clients_of_both_are_reached(pair, connect):
    a, b = pair
    clients = [connect(a), connect(b)]
    a.call("emit", "hello", ("x", b"\x01"))
    b.call("emit", "hello", {"y": [b"\x02"]})
    eventually(lambda: all(len(client.received) == 2 for client in clients))
    assert sorted(clients[0].received, key=repr) == sorted(clients[1].received, key=repr)
    assert sorted(clients[0].received, key=repr) == sorted([("hello", "x", b"\x01"), ("hello", {"y": [b"\x02"]})], key=repr)


@pytest.mark.parametrize("here, there", [(0, 1), (1, 0)])
def test_a_client_of_the_other_server_is_called_moved_and_disconnected(pair, connect, here, there):
    a, b = pair[here], pair[there]
    client = connect(b)
    sid = client.get_sid("/")
    client.on("question", lambda *args: {"asked": list(args)})
    assert a.call("call", "question", ("x", b"\x01"), to=sid, timeout=PATIENCE_S) == {"asked": ["x", b"\x01"]}
    a.call("enter_room", sid, ["there", "too"])
    eventually(lambda: set(b.call("rooms", sid)) == {sid, "there", "too"})
    a.call("leave_room", sid, "too")
    eventually(lambda: set(b.call("rooms", sid)) == {sid, "there"})
    a.call("emit", "inside", room="there")
    eventually(lambda: ("inside",) in client.received)
    with pytest.raises(UnknownClientError):
        a.call("get_session", sid)
    a.call("disconnect", sid)
    eventually(lambda: not client.connected)
    with pytest.raises(DisconnectedError):
        a.call("call", "question", to=sid, timeout=PATIENCE_S)


def test_servers_speak_to_each_other(pair):
    a, b = pair
    heard = []
    for host in pair:

        def said(*args, host=host):
            heard.append((host, args))
            return {"heard": list(args)}

        host.sio.on_server_event("said", said)
        host.sio.on_server_event("fails", lambda: 1 / 0)

    async def later(*args):
        await asyncio.sleep(0)
        return "later"

    a.sio.on_server_event("later", later)
    assert a.call("server_side_call", "said", (1, b"\x02")) == [{"heard": [1, b"\x02"]}]
    assert b.call("server_side_call", "later") == ["later"]
    a.call("server_side_emit", "said", "quietly")
    eventually(lambda: (b, ("quietly",)) in heard)
    assert all(host is b for host, _ in heard)
    for event in ("fails", "nobody listens"):
        with pytest.raises(TimeoutError) as raised:
            a.call("server_side_call", event)
        assert raised.value.replies == [] and "0 of 1 servers" in str(raised.value)


def test_classes_of_handlers_speak_to_the_servers_of_their_namespace(redis_url):
    class Chat(sockeye_io.Namespace):
        pass

    hosts = [ThreadHost(client_manager={"kind": "redis", "url": redis_url, "key": "classes"}) for _ in range(2)]
    for host in hosts:
        host.sio.register_namespace(Chat("/chat"))
        host.sio.on_server_event("name", lambda: "b", namespace="/chat")
        host.start()
    chat = hosts[0].sio.namespace_handlers["/chat"]
    eventually(lambda: _count_in(chat) == 2)
    assert chat.server_side_call("name") == ["b"]
    for host in hosts:
        host.stop()


def test_a_server_without_its_broker_serves_its_own(connect):
    host = ThreadHost(client_manager="redis://user:s3cret@127.0.0.1:1")
    host.sio.on("connect", lambda sid, environ: None)
    host.start()
    client = connect(host)
    host.call("emit", "here")
    eventually(lambda: ("here",) in client.received)
    host.stop()


def test_what_is_wrong_is_named_and_passwords_are_not_shown():
    secret = "redis://user:s3cret@127.0.0.1:1"
    for manager, named in (({"kind": "redis", "url": secret, "keyy": 1}, "keyy"), ({"kind": "pigeon", "url": secret}, "pigeon"),
                           (sockeye_io.RedisManager(secret, requestsTimeout="s3cret"), "requestsTimeout")):  # fmt: skip
        sio = sockeye_io.Server(client_manager=manager)
        with pytest.raises(EngineError) as raised:
            sio.start(port=0)
        assert named in str(raised.value) and "s3cret" not in str(raised.value)
    with pytest.raises(NotImplementedError):
        sockeye_io.Server(client_manager=object())
    with pytest.raises(NotImplementedError, match="Emitter"):
        sockeye_io.RedisManager(write_only=True)


def test_alone_the_cluster_is_one_server(make):
    host = make()
    host.start()
    assert host.call("server_count") == 1
    assert host.call("server_side_call", "anything") == []
    before = time.monotonic()
    host.call("server_side_emit", "anything")
    assert time.monotonic() - before < 4
