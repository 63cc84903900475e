"""The emitter with servers of both kinds, without a broker, in other threads, and at the interpreter's end."""

import threading
import time

import pytest
from conftest import PATIENCE_S, ThreadHost, eventually, script

import sockeye_io
from sockeye_io.exceptions import EngineError

from test_cluster import _count, redis_url  # noqa: F401  (a fixture)

NOWHERE = "redis://user:s3cret@127.0.0.1:1"


@pytest.fixture
def host(redis_url):  # noqa: F811
    host = ThreadHost(client_manager=sockeye_io.RedisManager(redis_url, "emitted"))
    host.sio.on("connect", lambda sid, environ: None)
    host.sio.on("connect", lambda sid, environ: None, namespace="/chat")
    host.start()
    eventually(lambda: _count(host) == 1)
    yield host
    host.stop()


@pytest.fixture
def emitter(redis_url):  # noqa: F811
    with sockeye_io.Emitter(redis_url, key="emitted") as emitter:
        yield emitter


def test_it_speaks_to_clients_as_a_server_does(host, emitter, connect):
    client, other, chatting = connect(host), connect(host), connect(host, "/chat")
    sid = client.get_sid("/")
    emitter.emit("all", ("x", {"y": [b"\x01"]}))
    emitter.emit("one", 1, to=sid)
    emitter.emit("others", skip_sid=sid)
    emitter.emit("chat", namespace="/chat")
    emitter.send("hi", room=[sid, "no room"])
    everybody = ("all", "x", {"y": [b"\x01"]})
    eventually(lambda: len(client.received) == 3 and len(other.received) == 2 and chatting.received)
    assert client.received == [everybody, ("one", 1), ("message", "hi")]
    assert other.received == [everybody, ("others",)]
    assert chatting.received == [("chat",)]


def test_it_moves_and_disconnects_clients_and_speaks_to_servers(host, emitter, connect):
    client, other = connect(host), connect(host)
    sid, heard = client.get_sid("/"), []
    host.sio.on_server_event("said", lambda *args: heard.append(args))
    emitter.sockets_join(["a", "b"])
    emitter.enter_room(sid, "own")
    emitter.leave_room(sid, "b")
    eventually(lambda: set(host.call("rooms", sid)) == {sid, "a", "own"})
    emitter.close_room("a")
    eventually(lambda: "a" not in host.call("rooms", other.get_sid("/")))
    emitter.server_side_emit("said", 1, b"\x02")
    eventually(lambda: heard == [(1, b"\x02")])
    emitter.disconnect(sid)
    eventually(lambda: not client.connected)
    assert other.connected
    emitter.disconnect_sockets(close=True)
    eventually(lambda: not other.connected)


def test_streams_have_emitters_too(redis_url, connect):  # noqa: F811
    place = {"kind": "redis-streams", "url": redis_url, "streamName": "said"}
    host, heard = ThreadHost(client_manager={**place, "channelPrefix": "said"}), []
    host.sio.on("connect", lambda sid, environ: None)
    host.sio.on_server_event("said", lambda *args: heard.append(args))
    host.start()
    eventually(lambda: _count(host) == 1)
    client = connect(host)
    with sockeye_io.Emitter(**place) as emitter:
        emitter.emit("hello", (1, b"\x02"), to=client.get_sid("/"))
        emitter.server_side_emit("said", b"\x03")
    eventually(lambda: client.received == [("hello", 1, b"\x02")] and heard == [(b"\x03",)])
    host.stop()


def test_threads_share_it_and_nothing_is_lost(host, emitter, connect):
    client = connect(host)
    threads = [threading.Thread(target=lambda n=n: [emitter.emit("n", (n, i)) for i in range(100)]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    emitter.flush()
    eventually(lambda: len(client.received) == 400)
    for n in range(4):
        assert [i for _, thread, i in client.received if thread == n] == list(range(100))
    state = emitter.state
    assert state["up"] and state["published"] == 400 and state["dropped"] == state["unconfirmed"] == state["waiting"] == 0


def test_without_a_broker_it_waits_and_tells_why():
    emitter = sockeye_io.Emitter(NOWHERE, publishQueueBytes=65536)
    with pytest.raises(EngineError) as raised:
        for _ in range(5000):
            emitter.emit("x")
    assert raised.value.name == "SOCKEYE_ERR_FULL"
    eventually(lambda: emitter.state["downs"] == 1)
    state = emitter.state
    assert not state["up"] and state["waiting"] > 100 and state["dropped"] == 1 and state["error"] and "s3cret" not in state["error"]
    with pytest.raises(EngineError) as raised:
        emitter.flush(0.02)
    assert raised.value.name == "SOCKEYE_ERR_TIMEOUT"
    ended = []
    flushing = threading.Thread(target=lambda: ended.append(pytest.raises(EngineError, emitter.flush, 30)))
    flushing.start()
    time.sleep(0.05)
    with pytest.raises(EngineError):
        emitter.close(0.02)
    flushing.join(PATIENCE_S)
    assert len(ended) == 1
    emitter.close()
    with pytest.raises(EngineError) as raised:
        emitter.emit("x")
    assert raised.value.name == "SOCKEYE_ERR_CLOSED"


def test_what_is_wrong_is_named():
    for wrong, named in (({"keyy": 1}, "keyy"), ({"kind": "pigeon"}, "pigeon"), ({"requestsTimeout": "s3cret"}, "requestsTimeout")):
        with pytest.raises(EngineError) as raised:
            sockeye_io.Emitter(NOWHERE, **wrong)
        assert named in str(raised.value) and "s3cret" not in str(raised.value)
    with pytest.raises(EngineError, match="url is missing"):
        sockeye_io.Emitter()
    with sockeye_io.Emitter(nodes=[NOWHERE], kind="redis-streams") as emitter:
        with pytest.raises(EngineError, match="reserved"):
            emitter.emit("connect")
        with pytest.raises(TypeError):
            emitter.emit("x", object())


def test_a_program_that_ends_has_said_everything(host, redis_url, connect):  # noqa: F811
    client = connect(host)
    done = script(f"import sockeye_io\nemitter = sockeye_io.Emitter({redis_url!r}, key='emitted')\nfor i in range(50): emitter.emit('x', i)")
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(client.received) == 50)


def test_a_child_process_is_refused():
    text = f"""
import os, sockeye_io
emitter = sockeye_io.Emitter({NOWHERE!r})
child = os.fork()
if child == 0:
    try:
        emitter.emit("x")
    except sockeye_io.exceptions.EngineError as error:
        os._exit(error.name != "SOCKEYE_ERR_FORKED")
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = script(text)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
