"""Threads that do everything at once: on builds without the interpreter's lock, and with it, switching as often as they can."""

import concurrent.futures
import contextlib
import json
import logging
import random
import sys
import threading
import types

import pytest
from conftest import PATIENCE_S, AsyncHost, ThreadHost, eventually, join

import sockeye_io
from sockeye_io import _engine
from sockeye_io._engine import Engine
from sockeye_io._environ import HandshakeEnviron
from sockeye_io.exceptions import DisconnectedError, EngineError, TimeoutError, UnknownClientError

THREADS = 4


@pytest.fixture(autouse=True)
def hurried():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def server():
    host = ThreadHost()
    yield host
    host.sio.shutdown(grace=0)


@pytest.fixture
def quiet(caplog):
    """Holds that nothing was logged that somebody should look at."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def at_once(*functions):
    """Runs functions in threads that begin together, and gives what they return; what they raise is raised."""
    ready = threading.Barrier(len(functions))

    def run(function):
        ready.wait(PATIENCE_S)
        return function()

    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(run, function) for function in functions]]


def guest(host):
    """A bare client that does not wait for ever."""
    raw = join(host)
    raw.settimeout(PATIENCE_S)
    return raw


def read(raw):
    """The next packet in text that is not a ping."""
    text = raw.recv()
    while text == "2" or isinstance(text, bytes):
        text = raw.recv()
    return text


def ask(raw, event, *args):
    """Sends an event that the server's handler acknowledges, answers what the server asks meanwhile, and gives the acknowledgement."""
    raw.send("421" + json.dumps([event, *args]))
    while True:
        text = read(raw)
        if text.startswith("431"):
            return json.loads(text[3:])
        if text[:2] == "42" and text[2:].partition("[")[0]:
            raw.send(f"43{text[2:].partition('[')[0]}[1]")
        elif text == "41":
            raise ConnectionError("the server ended it")


def test_what_threads_emit_all_arrives_in_the_order_of_each(server, quiet):
    server.start()
    raw, count = guest(server), 1000

    def emit(who):
        for number in range(count):
            server.sio.emit("n", (who, number))

    def receive():
        got = [[] for _ in range(THREADS)]
        while sum(map(len, got)) < THREADS * count:
            _, who, number = json.loads(read(raw)[2:])
            got[who].append(number)
        return got

    *_, got = at_once(*(lambda who=who: emit(who) for who in range(THREADS)), receive)
    assert got == [list(range(count))] * THREADS


def test_operations_of_threads_go_over_once_each():
    engine, gone = Engine({}), []
    engine._submit = gone.extend

    def add(who):
        for number in range(20000):
            engine.add((who, number))
            engine.flush()

    at_once(*(lambda who=who: add(who) for who in range(THREADS)))
    engine.free()
    assert [[number for whose, number in gone if whose == who] for who in range(THREADS)] == [list(range(20000))] * THREADS


def test_clients_come_and_go_while_threads_do_everything(server, quiet):
    here, over, answers = set(), threading.Event(), []
    sio = server.sio
    sio.on("connect", lambda sid, environ: here.add(sid))
    sio.on("disconnect", lambda sid: (here.discard(sid), sio.rooms(sid), sio.get_session(sid)))
    sio.on("say", lambda sid, what: what)
    server.start()
    do = [
        lambda sid, n: sio.emit("x", n, to=sid),
        lambda sid, n: sio.emit("x", b"%d" % n, to="r", skip_sid=sid),
        lambda sid, n: sio.emit("x", n, callback=answers.append, to=sid),
        lambda sid, n: sio.call("x", n, to=sid, timeout=0.05),
        lambda sid, n: sio.call_all("x", n, to="r", timeout=0.05),
        lambda sid, n: sio.enter_room(sid, ["r", f"r{n}"]),
        lambda sid, n: sio.leave_room(sid, "r"),
        lambda sid, n: sio.sockets_join("s", to="r"),
        lambda sid, n: sio.close_room("s"),
        lambda sid, n: sio.save_session(sid, {"n": n}),
        lambda sid, n: sio.get_session(sid).setdefault(n, n),
        lambda sid, n: sid in sio.rooms(sid),
        lambda sid, n: dict(sio.get_environ(sid) or ()),
        lambda sid, n: sio.transport(sid),
        lambda sid, n: sio.set_data(sid, n),
        lambda sid, n: sio.fetch_sockets("r"),
        lambda sid, n: n % 10 or sio.disconnect(sid),
    ]

    def work(seed):
        choice = random.Random(seed)
        while not over.is_set():
            for sid in list(here) or ["nobody"]:
                with contextlib.suppress(UnknownClientError, DisconnectedError, TimeoutError):
                    choice.choice(do)(sid, choice.randrange(1000))

    def visit():
        for number in range(100):
            with contextlib.closing(guest(server)) as raw, contextlib.suppress(ConnectionError):
                assert ask(raw, "say", number) == [number]

    def visits():
        try:
            at_once(visit, visit)
        finally:
            over.set()

    at_once(visits, *(lambda seed=seed: work(seed) for seed in range(THREADS)))
    eventually(lambda: not (here or sio._clients or sio._sids or sio._asked))
    assert sio.metrics()["sockets"] == 0


@pytest.mark.parametrize("again", range(5))
def test_who_asks_while_the_server_ends_is_told_so(server, again):
    sio, left = server.sio, (DisconnectedError, EngineError, UnknownClientError)
    server.start()
    raw, asked = guest(server), threading.Event()
    (sid,) = sio._sids

    def until_it_ends(act):
        with contextlib.suppress(*left):
            while sio._engine.is_open:
                act()
                asked.set()

    def end():
        asked.wait(PATIENCE_S)
        sio.shutdown(grace=0)

    at_once(
        lambda: until_it_ends(lambda: sio.call_all("nobody is there", to="nowhere")),
        lambda: until_it_ends(lambda: sio.fetch_sockets("nowhere")),
        lambda: until_it_ends(lambda: sio.call("never answered", to=sid, timeout=None)),
        lambda: until_it_ends(lambda: (sio.emit("x", to=sid), sio.enter_room(sid, "r"), sio.emit(f"x{random.random()}"))),
        lambda: until_it_ends(lambda: sio.on(f"y{random.random()}", lambda sid: None)),
        end,
    )
    raw.close()
    assert not sio._asked


def test_a_server_that_threads_start_at_once_is_one(server):
    server.sio.on("say", lambda sid, what: what)
    for number in range(3):
        for port in at_once(*[lambda: server.sio.start(port=0)] * THREADS):
            assert ask(guest(types.SimpleNamespace(url=f"http://127.0.0.1:{port}")), "say", number) == [number]
        # The thread of the time before may be about to end.
        eventually(lambda: [thread.name for thread in threading.enumerate()].count("sockeye-events") == 1)
        server.sio.shutdown(grace=0)


def test_a_handler_that_outlives_its_server_answers_nobody_of_the_next(server):
    entered, go = threading.Semaphore(0), {"first": threading.Event(), "second": threading.Event()}

    @server.sio.event
    def wait(sid, which):
        entered.release()
        go[which].wait(PATIENCE_S)
        return which

    for which in ("first", "second"):
        server.start()
        raw = guest(server)
        raw.send(f'421["wait","{which}"]')
        assert entered.acquire(timeout=PATIENCE_S)
        if which == "first":
            server.sio.shutdown(grace=0)
    go["first"].set()
    eventually(lambda: server.sio._threads._free == 1)
    go["second"].set()
    assert read(raw) == '431["second"]'


def test_a_handler_that_was_registered_is_the_one_that_runs(server):
    server.sio.on("version", lambda sid: 0)
    server.start()
    raw = guest(server)
    for version in range(1, 150):
        at_once(lambda: ask(raw, "version"), lambda version=version: server.sio.on("version", lambda sid: version))
        assert ask(raw, "version") == [version]


def test_an_environment_is_filled_once(server):
    told = json.dumps({"url": "/socket.io/?EIO=4", "address": "1.2.3.4", "headers": {f"x-{number}": "y" for number in range(50)}})
    for _ in range(50):
        environ = HandshakeEnviron(told)
        taken = at_once(*[lambda environ=environ: (environ.pop("REMOTE_ADDR", None), len(list(environ.items())))] * THREADS)
        assert sorted(taken, key=str)[0][0] == "1.2.3.4" and [address for address, _ in taken].count(None) == THREADS - 1


def test_servers_of_both_kinds_work_side_by_side(quiet):
    def one(kind):
        for _ in range(3):
            host = kind()
            host.sio.on("say", host.handler(lambda sid, what: what))
            host.sio.on("connect", host.handler(lambda sid, environ: sids.append(sid)))
            sids = []
            host.start()
            raw = guest(host)
            for number in range(30):
                host.call("emit", "n", number, to=sids[0])
                host.call("enter_room", sids[0], f"r{number}")
                assert ask(raw, "say", number) == [number]
            assert len(host.call("fetch_sockets")[0].rooms) == 31
            raw.close()
            host.stop()

    at_once(*(lambda kind=kind: one(kind) for kind in (AsyncHost, AsyncHost, ThreadHost, ThreadHost)))


def test_engines_are_made_and_forgotten_while_they_are_looked_through():
    over = threading.Event()

    def make():
        try:
            for _ in range(40):
                Engine({}).free()
        finally:
            over.set()

    def look():
        while not over.is_set():
            _engine._all()

    at_once(make, look, look)


def test_an_emitter_that_threads_close_at_once_is_freed_once():
    for _ in range(10):
        # Nobody listens there.
        emitter = sockeye_io.Emitter("redis://127.0.0.1:1")

        def emit(emitter=emitter):
            with pytest.raises(EngineError, match="CLOSED"):
                while True:
                    emitter.emit("x", to="r")

        def close(emitter=emitter):
            with contextlib.suppress(EngineError):
                emitter.close(0)

        at_once(emit, emit, close, close, close)
