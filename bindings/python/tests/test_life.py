"""Beginning and end: signals, exits with clients connected, fork, loops that stop, tasks that are cancelled."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from conftest import PACKAGE, PATIENCE_S, eventually, script
from ports import free_port

import sockeye_io
from sockeye_io._tasks import Runner
from sockeye_io.exceptions import EngineError

SERVE = """
import sockeye_io, sys, threading
kind = sys.argv[1]
sio = getattr(sockeye_io, kind)(cors_allowed_origins=[])
left = []
if kind == "AsyncServer":
    @sio.event
    async def disconnect(sid, reason): print("left", reason, flush=True)
    class Told:
        async def __call__(self, scope, receive, send):
            message = await receive()
            if message["type"] == "lifespan.startup": print("up", flush=True)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
    sio.run(port=int(sys.argv[2]), app=Told())
else:
    @sio.event
    def disconnect(sid, reason): print("left", reason, flush=True)
    threading.Timer(0.2, lambda: print("up", flush=True)).start()
    sio.run(port=int(sys.argv[2]))
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["AsyncServer", "Server"])
def test_run_ends_in_order_on_a_signal_with_a_client_connected(kind, number, connect):
    port = free_port()
    command = [sys.executable, "-c", SERVE, kind, str(port)]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(PACKAGE)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "up\n"
        client = eventually(lambda: connect_to(connect, port))
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    assert out == "left server disconnect\nended\n"
    eventually(lambda: not client.connected)


@pytest.mark.parametrize("kind", ["AsyncServer", "Server"])
def test_a_signal_that_comes_as_soon_as_it_listens_is_not_lost(kind):
    text = f"""
import os, signal, sockeye_io
sio = sockeye_io.{kind}()
from sockeye_io._engine import Engine
listen = Engine.listen
def listen_and_be_ended(self, host, port):
    bound = listen(self, host, port)
    os.kill(os.getpid(), signal.SIGTERM)
    return bound
Engine.listen = listen_and_be_ended
sio.run(port=0)
print("ended", sio._engine.is_open)
"""
    ended = script(text)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ended False\n", "")


def connect_to(connect, port):
    import socketio

    class At:
        url = f"http://127.0.0.1:{port}"

    try:
        return connect(At)
    except socketio.exceptions.ConnectionError:
        return None


@pytest.mark.parametrize("kind", ["AsyncServer", "Server"])
def test_the_interpreter_exits_with_a_server_that_nobody_ended(kind):
    start = "asyncio.run(sio.start(port=0))" if kind == "AsyncServer" else "sio.start(port=0)"
    ended = script(f"import asyncio, sockeye_io\nsio = sockeye_io.{kind}()\n{start}\nprint('over')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "over\n", "")


@pytest.mark.parametrize("kind", ["AsyncServer", "Server"])
def test_the_interpreter_exits_with_a_client_connected(kind):
    text = f"""
import asyncio, sockeye_io, threading, websocket
sio = sockeye_io.{kind}(cors_allowed_origins=[])
joined = []
def client(port):
    global raw
    raw = websocket.create_connection(f"ws://127.0.0.1:{{port}}/socket.io/?EIO=4&transport=websocket")
    raw.recv()
    raw.send("40")
    joined.append(raw.recv()[:2])
async def main():
    thread = threading.Thread(target=client, args=[await sio.start(port=0)])
    thread.start()
    while not joined: await asyncio.sleep(0.01)
if isinstance(sio, sockeye_io.Server):
    client(sio.start(port=0))
else:
    asyncio.run(main())
print("over", joined)
"""
    ended = script(text)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "over ['40']\n", "")


def test_a_server_whose_loop_ended_starts_again_on_another():
    sio = sockeye_io.AsyncServer()
    for _ in range(2):
        asyncio.run(sio.start(port=0))

    async def end():
        await sio.start(port=0)
        await sio.shutdown()

    asyncio.run(end())
    assert not sio._engine.is_open


def test_a_handler_that_exits_ends_nothing_else(connect, caplog):
    sio = sockeye_io.Server(cors_allowed_origins=[])
    sio.on("leave", lambda sid: sys.exit(3))
    sio.on("alive", lambda sid: True)

    class Host:
        url = f"http://127.0.0.1:{sio.start(port=0)}"

    client = connect(Host)
    client.emit("leave")
    assert client.call("alive") is True
    eventually(lambda: "SystemExit" in caplog.text)
    client.disconnect()
    sio.shutdown()


def test_the_interpreter_exits_with_a_handler_that_never_returns(connect):
    text = """
import sockeye_io, socketio, time
sio = sockeye_io.Server()
entered = []
@sio.event
def stuck(sid):
    entered.append(sid)
    time.sleep(1000)
port = sio.start(port=0)
client = socketio.Client()
client.connect(f"http://127.0.0.1:{port}", wait_timeout=30)
client.emit("stuck")
while not entered: time.sleep(0.01)
client.disconnect()
print("over")
"""
    ended = script(text)
    assert (ended.returncode, ended.stdout) == (0, "over\n"), ended.stderr


def test_a_forked_child_is_told_so_and_exits():
    text = """
import os, sockeye_io
sio = sockeye_io.Server()
sio.start(port=0)
sio.metrics()
child = os.fork()
if child == 0:
    try:
        sio.metrics()
    except sockeye_io.exceptions.EngineError as error:
        print(error.name, "after os.fork" in str(error), flush=True)
    try:
        sio.emit("x")
    except sockeye_io.exceptions.EngineError as error:
        print(error.name, flush=True)
    other = sockeye_io.Server()
    other.start(port=0)
    other.shutdown()
    raise SystemExit(0)
print(os.waitpid(child, 0)[1], sio.metrics()["sockets"], flush=True)
"""
    ended = script(text)
    # Newer versions of Python warn of the fork itself.
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
    assert ended.stdout == "SOCKEYE_ERR_FORKED True\nSOCKEYE_ERR_FORKED\n0 0\n"


def test_a_server_starts_again_after_its_end_on_another_loop():
    sio = sockeye_io.AsyncServer()

    async def once():
        port = await sio.start(port=0)
        with pytest.raises(EngineError):
            await sio.start(port=port)
        await sio.shutdown()
        await sio.shutdown()
        return port

    assert asyncio.run(once()) > 0
    assert asyncio.run(once()) > 0


def test_a_port_in_use_is_an_error_that_leaves_nothing():
    async def run():
        first, second = sockeye_io.AsyncServer(), sockeye_io.AsyncServer()
        port = await first.start(port=0)
        with pytest.raises(EngineError) as caught:
            await second.start(port=port)
        assert caught.value.name == "SOCKEYE_ERR_ADDR"
        await second.start(port=0)
        await second.shutdown()
        await first.shutdown()

    asyncio.run(run())


def test_serve_ends_when_it_is_cancelled_and_cancels_what_waits():
    async def run():
        sio = sockeye_io.AsyncServer()
        serving = asyncio.ensure_future(sio.serve(port=0))
        while not (sio._engine and sio._engine.is_open):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not sio._engine.is_open

    asyncio.run(run())


def test_a_handler_that_waits_keeps_a_task_of_its_own(make, connect):
    host = make()
    if not host.asynchronous:
        pytest.skip("threads have no tasks")
    tasks, cancelled = {}, []

    @host.sio.event
    async def wait(sid, name, seconds):
        tasks[name] = asyncio.current_task()
        try:
            await asyncio.sleep(seconds)
            assert asyncio.current_task() is tasks[name]
        except asyncio.CancelledError:
            cancelled.append(name)
            raise
        return name

    @host.sio.event
    async def cancel(sid, name):
        tasks[name].cancel()

    @host.sio.event
    async def timed(sid):
        try:
            await asyncio.wait_for(asyncio.sleep(10), 0.01)
        except asyncio.TimeoutError:
            return "in time"

    host.start()
    client = connect(host)
    got = []
    for name in "abc":
        client.emit("wait", (name, 10 if name == "b" else 0.05), callback=got.append)
    client.emit("cancel", "b")
    assert client.call("timed") == "in time"
    eventually(lambda: sorted(got) == ["a", "c"])
    assert cancelled == ["b"] and len(set(tasks.values())) == 3


def test_a_task_that_is_cancelled_before_it_begins_takes_no_handler_along():
    async def run():
        runner, results = Runner(asyncio.get_running_loop(), lambda: None), []

        async def handler(name):
            return name

        for name in "ab":
            runner.add(handler, (name,), lambda result, *_: results.append(result))
            for task in runner.tasks:
                task.cancel()
        while runner.tasks:
            await asyncio.sleep(0)
        assert results == ["a", "b"]

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


def test_context_variables_of_a_handler_are_its_own(make, connect):
    import contextvars

    variable = contextvars.ContextVar("variable", default="nothing")
    host = make()
    if not host.asynchronous:
        pytest.skip("threads have contexts of their own")

    @host.sio.event
    async def swap(sid, value):
        before = variable.get()
        variable.set(value)
        await asyncio.sleep(0)
        return before, variable.get()

    host.start()
    client = connect(host)
    assert [client.call("swap", n) for n in (1, 2)] == [("nothing", 1), ("nothing", 2)]


def test_a_library_that_does_not_fit_is_refused(tmp_path):
    source = tmp_path / "other.c"
    source.write_text("unsigned sockeye_abi(void) { return 1; }")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "other.so", source], check=True)
    env = {**os.environ, "PYTHONPATH": str(PACKAGE), "SOCKEYE_LIBRARY": str(tmp_path / "other.so")}
    ended = subprocess.run([sys.executable, "-c", "import sockeye_io"], env=env, capture_output=True, text=True)
    assert ended.returncode == 1 and "older than this package" in ended.stderr


@pytest.mark.parametrize("kind, spared", [("Server", "asyncio inspect concurrent.futures urllib.parse mimetypes"), ("AsyncServer", "mimetypes queue")])
def test_a_server_listens_without_what_it_needs_later(kind, spared):
    start = "asyncio.run(sio.start(port=0))" if kind == "AsyncServer" else "sio.start(port=0)"
    first = "import asyncio\n" if kind == "AsyncServer" else ""
    text = f"{first}import sys\nbefore = set(sys.modules)\nimport sockeye_io\nsio = sockeye_io.{kind}()\n{start}\nprint(*set(sys.modules) - before)"
    loaded = script(text).stdout.split()
    assert f"sockeye_io.{'async_server' if kind == 'AsyncServer' else 'server'}" in loaded
    assert not set(loaded) & set(spared.split())


def test_what_there_is_not_is_refused_by_name():
    for options in ({"client_manager": object()}, {"serializer": "msgpack"}, {"cors_allowed_origins": lambda origin: True},
                    {"cookie": {"name": "io", "secure": lambda: True}}):  # fmt: skip
        with pytest.raises(NotImplementedError):
            sockeye_io.AsyncServer(**options)
    with pytest.raises(TypeError):
        sockeye_io.AsyncServer(ping_intervall=3)
    with pytest.raises(AttributeError, match="app=app"):
        sockeye_io.ASGIApp  # noqa: B018
    with pytest.raises(AttributeError, match="nothing_like_it"):
        sockeye_io.nothing_like_it  # noqa: B018
    assert {"AsyncServer", "Server", "Namespace"} <= set(dir(sockeye_io))
    with pytest.raises(EngineError, match="pingInterval"):
        sockeye_io.Server(ping_interval=10**9).start(port=0)
