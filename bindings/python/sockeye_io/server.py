"""`Server`: handlers in threads. A thread of the server's own takes events from the engine and hands them out."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import Any, Callable, Iterator, Optional

from . import _ffi
from ._base import Asked, Client, FetchedSocket, close_flags, names, unwrapped
from ._dispatch import Dispatcher
from ._engine import Event, operation
from ._peers import only_reply
from ._registry import Route
from ._threads import Threads
from .exceptions import EngineError
from .namespace import Namespace

_GRACE_S = 1.0
# How long `shutdown` waits beyond its grace for the engine to close.
_PATIENCE_S = 10.0


def _future() -> Any:
    # Loaded when something is awaited: a server listens without it.
    from concurrent.futures import Future

    return Future()


class Server(Dispatcher):
    """A Socket.IO server with threads, with the API of python-socketio's class of this name.

    Constructor arguments are those of `AsyncServer`. Each event's handler runs in a thread, those of one client at the same time unless
    `async_handlers` is False. All methods may be called from any thread.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self._local = threading.local()
        super().__init__(*args, **kwargs)
        self._encode = self._encode_here
        self._threads = Threads()
        # Held by who begins or ends, not by who waits for that.
        self._life = threading.Lock()
        self._closed = threading.Event()
        self._pump: Optional[threading.Thread] = None

    def is_asyncio_based(self) -> bool:
        """False."""
        return False

    def _namespace_class(self) -> type:
        return Namespace

    def _encode_here(self, args: list[Any]) -> Any:
        # Encoders are for one thread at a time.
        encoder = getattr(self._local, "encoder", None)
        if encoder is None:
            encoder = self._local.encoder = self._new_encoder()
        return encoder.encode(args)

    # ---- serving ----------------------------------------------------------------------------------------------------------------

    def start(self, host: str = "127.0.0.1", port: int = 5000, app: Any = None, static_files: Optional[dict[str, Any]] = None) -> int:
        """Listens, and returns the port (the system's choice for 0). Another call listens on another address as well.

        `app` is a WSGI application for all other paths, `static_files` maps paths to files or folders, as in python-socketio.
        """
        with self._life:
            if self._pump is None:
                return self._first_start(host, port, app, static_files)
            if app is not None or static_files:
                raise ValueError("app and static_files are decided by the first start()")
            return self._running().listen(host, port)

    def _first_start(self, host: str, port: int, app: Any, static_files: Optional[dict[str, Any]]) -> int:
        engine = self._make_engine(http_events=app is not None or bool(static_files))
        self._http = None
        if app is not None or static_files:
            # Loaded when they are needed: they cost more than all else that a server listens with.
            from ._files import StaticFiles
            from ._wsgi import WsgiHost

            self._http = WsgiHost(app, StaticFiles(static_files or {}), engine, self._threads.run, self._answer_patience_s)
        try:
            bound = engine.listen(host, port)
        except BaseException:
            engine.free()
            raise
        self._closed.clear()
        self._pump = threading.Thread(target=self._take_events, name="sockeye-events", daemon=True)
        self._pump.start()
        return bound

    def wait(self) -> None:
        """Returns when the server is shut down."""
        self._closed.wait()

    def run(self, host: str = "127.0.0.1", port: int = 5000, app: Any = None, static_files: Optional[dict[str, Any]] = None) -> None:
        """Serves until Ctrl-C or SIGTERM, and shuts down in order. In another thread than the main one: until `shutdown`."""
        before: dict[int, Any] = {}
        asked: list[int] = []
        waits = False

        def end(number: int, frame: Any) -> None:
            asked.append(number)
            if waits:
                raise KeyboardInterrupt

        try:
            # Before it listens: who sees it answer may end it at once.
            if threading.current_thread() is threading.main_thread():
                before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
            self.start(host, port, app, static_files)
            waits = True
            if not asked:
                self.wait()
        except KeyboardInterrupt:
            pass
        finally:
            waits = False
            for number, handler in before.items():
                signal.signal(number, handler)
            self.shutdown()

    def shutdown(self, grace: float = _GRACE_S) -> None:
        """Disconnects all clients (`server shutting down`), and waits until all is closed; what was sent has `grace` seconds to go out."""
        engine = self._engine
        if engine is None or self._pump is None:
            return
        engine.flush()
        engine.close(round(grace * 1000))
        self._closed.wait(grace + _PATIENCE_S)

    # ---- events -----------------------------------------------------------------------------------------------------------------

    def _take_events(self) -> None:
        engine = self._running()
        while True:
            try:
                events = engine.poll(-1, self._loads)
            except EngineError as error:
                self.logger.error("events cannot be taken any more: %s", error)
                break
            if events is None:
                break
            self._take(events)
        engine.free()
        self._end_all()
        with self._life:
            self._pump = None
            self._closed.set()

    def _begin(self, route: Route, args: tuple[Any, ...], done: Callable[..., Any], a: Any, b: Any, client: Client) -> None:
        job = (self._engine, route.handler, args, done, a, b)
        if self.async_handlers:
            self._threads.run(self._run_job, *job)
        elif self._queue_up(client, job):
            self._threads.run(self._in_order, client, job)

    def _run_job(self, engine: Any, handler: Callable[..., Any], args: tuple[Any, ...], done: Callable[..., Any], a: Any, b: Any) -> None:
        try:
            result = handler(*args)
        except Exception as error:
            result = error
        if engine is self._engine:
            done(result, a, b)
        else:
            # The server was shut down and started again meanwhile: the numbers of clients and questions mean others now.
            self._report(result, "a handler from before the server was started again")

    def _in_order(self, client: Client, first: tuple[Any, ...]) -> None:
        job: Optional[tuple[Any, ...]] = first
        while job is not None:
            self._run_job(*job)
            job = self._next_job(client)

    def _on_joined(self, event: Event) -> None:
        super()._on_joined(event)
        self._running().flush()

    def _decided(self, result: Any, client: Client, token: int) -> None:
        super()._decided(result, client, token)
        self._running().flush()

    def _add_ack(self, token: int, result: Any) -> None:
        super()._add_ack(token, result)
        self._running().flush()

    def _ask(self, *args: Any, **kwargs: Any) -> None:
        with self._books:
            super()._ask(*args, **kwargs)

    def _on_ack(self, event: Event) -> None:
        with self._books:
            super()._on_ack(event)

    def _on_sockets(self, event: Event) -> None:
        with self._books:
            super()._on_sockets(event)

    def _on_server_ack(self, event: Event) -> None:
        with self._books:
            super()._on_server_ack(event)

    def _call_back(self, callback: Callable[..., Any], args: list[Any]) -> None:
        self._threads.run(callback, *args)

    # ---- emitting ---------------------------------------------------------------------------------------------------------------

    def emit(self, event: str, data: Any = None, to: Any = None, room: Any = None, skip_sid: Any = None,
             namespace: Optional[str] = None, callback: Optional[Callable[..., Any]] = None, ignore_queue: bool = False, *,
             except_: Any = None, volatile: bool = False, local: bool = False) -> None:  # fmt: skip
        """As `AsyncServer.emit`."""
        to = to or room
        skip = names(skip_sid) + names(except_) if skip_sid or except_ else ()
        if callback is not None:
            self._ask(Asked(False, callback=callback), event, data, to, skip, namespace, None, volatile)
        elif self._add_emit(event, data, to, skip, namespace, volatile, local or ignore_queue):
            self._running().flush()

    def send(self, data: Any, to: Any = None, room: Any = None, skip_sid: Any = None, namespace: Optional[str] = None,
             callback: Optional[Callable[..., Any]] = None, ignore_queue: bool = False, **kwargs: Any) -> None:  # fmt: skip
        """Emits the event `message`."""
        self.emit("message", data, to, room, skip_sid, namespace, callback, ignore_queue, **kwargs)

    def call(self, event: str, data: Any = None, to: Optional[str] = None, sid: Optional[str] = None, namespace: Optional[str] = None,
             timeout: Optional[float] = 60, ignore_queue: bool = False) -> Any:  # fmt: skip
        """As `AsyncServer.call`."""
        to = to or sid
        if to is None:
            raise ValueError("call() needs the client that it is for")
        future = _future()
        if self._elsewhere(to, namespace) is not None:
            self._ask(Asked(True, future), event, data, to, (), namespace, timeout)
            return only_reply(future.result())
        client = self._client(to, namespace)
        self._ask(Asked(False, future), event, data, client.sid, (), namespace, timeout)
        return unwrapped(future.result())

    def call_all(self, event: str, data: Any = None, to: Any = None, room: Any = None, skip_sid: Any = None,
                 namespace: Optional[str] = None, timeout: float = 60, *, except_: Any = None) -> list[Any]:  # fmt: skip
        """As `AsyncServer.call_all`."""
        future = _future()
        skip = names(skip_sid) + names(except_)
        self._ask(Asked(True, future), event, data, to or room, skip, namespace, timeout)
        found: list[Any] = future.result()
        return found

    # ---- rooms, clients and sessions --------------------------------------------------------------------------------------------

    def _do(self, kind: int, client: Client, **how: Any) -> None:
        engine = self._running()
        engine.add(operation(kind, client.socket, **how))
        engine.flush()

    def enter_room(self, sid: str, room: Any, namespace: Optional[str] = None) -> None:
        """Puts a client into a room; several rooms may be given as a list."""
        elsewhere = self._elsewhere(sid, namespace)
        if elsewhere is not None:
            self._running().move(elsewhere, names(room), join=True)
        else:
            self._do(_ffi.OP_JOIN, self._client(sid, namespace), rooms=names(room))

    def leave_room(self, sid: str, room: Any, namespace: Optional[str] = None) -> None:
        """Takes a client out of a room."""
        elsewhere = self._elsewhere(sid, namespace)
        if elsewhere is not None:
            self._running().move(elsewhere, names(room), join=False)
            return
        client = self._known(sid, namespace)
        if client is not None:
            self._do(_ffi.OP_LEAVE, client, rooms=names(room))

    def close_room(self, room: Any, namespace: Optional[str] = None) -> None:
        """Takes everybody out of a room."""
        self._move(room, self._target(room, namespace=namespace), join=False)

    def fetch_sockets(self, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None) -> list[FetchedSocket]:
        """As `AsyncServer.fetch_sockets`."""
        future = _future()
        self._fetch(future, self._target(to, names(except_), namespace))
        found: list[Any] = future.result()
        return found

    def disconnect(self, sid: str, namespace: Optional[str] = None, ignore_queue: bool = False, *, close: bool = False,
                   silent: bool = False) -> None:  # fmt: skip
        """Disconnects a client from its namespace, with `close` from all of them; with `silent` its connection is closed without a word.

        A client that has left is no error. In a cluster the client of another server is disconnected there, never silently.
        """
        elsewhere = self._elsewhere(sid, namespace)
        if elsewhere is not None:
            self._running().disconnect_all(elsewhere, close or silent)
            return
        client = self._known(sid, namespace)
        if client is not None:
            self._add_disconnect(client, close_flags(close, silent))
            self._running().flush()

    def sockets_join(self, rooms: Any, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None) -> None:
        """Puts all clients of a namespace, or of the rooms `to`, into rooms."""
        self._move(rooms, self._target(to, names(except_), namespace), join=True)

    def sockets_leave(self, rooms: Any, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None) -> None:
        """Takes all clients of a namespace, or of the rooms `to`, out of rooms."""
        self._move(rooms, self._target(to, names(except_), namespace), join=False)

    def disconnect_sockets(self, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None, close: bool = False) -> None:
        """Disconnects all clients of a namespace, or of the rooms `to`; with `close` from all of their namespaces."""
        self._with_target(self._running().disconnect_all, self._target(to, names(except_), namespace), close)

    # ---- other servers ----------------------------------------------------------------------------------------------------------

    def server_side_emit(self, event: str, data: Any = None, namespace: Optional[str] = None) -> None:
        """Emits an event to the other servers of the cluster, not to clients. `data` is as for `emit`."""
        self._server_emit(event, data, namespace)

    def server_side_call(self, event: str, data: Any = None, namespace: Optional[str] = None) -> list[Any]:
        """Emits an event to the other servers, and returns what their handlers returned.

        Raises `TimeoutError` if one does not answer within the cluster's `requestsTimeout`; its `replies` has those that came.
        """
        future = _future()
        self._server_emit(event, data, namespace, future)
        replies: list[Any] = future.result()
        return replies

    def server_count(self, namespace: Optional[str] = None) -> int:
        """How many servers the cluster has, this one included."""
        future = _future()
        self._count_servers(namespace, future)
        count: int = future.result()
        return count

    # ---- sessions ---------------------------------------------------------------------------------------------------------------

    def get_session(self, sid: str, namespace: Optional[str] = None) -> dict[str, Any]:
        """The session of a client: what was saved, at first an empty dict."""
        client = self._client(sid, namespace)
        with self._books:
            # Not twice, by two handlers at the same time.
            if client.session is None:
                client.session = {}
            return client.session

    def save_session(self, sid: str, session: dict[str, Any], namespace: Optional[str] = None) -> None:
        """Keeps a dict with a client, until it leaves."""
        self._client(sid, namespace).session = session

    @contextlib.contextmanager
    def session(self, sid: str, namespace: Optional[str] = None) -> Iterator[dict[str, Any]]:
        """`with sio.session(sid) as session:` gives the session, and saves it at the end."""
        session = self.get_session(sid, namespace)
        yield session
        self.save_session(sid, session, namespace)

    # ---- threads ----------------------------------------------------------------------------------------------------------------

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
        """A thread for a function; it does not keep the interpreter from exiting."""
        thread = threading.Thread(target=target, args=args, kwargs=kwargs, daemon=True)
        thread.start()
        return thread

    def sleep(self, seconds: float = 0) -> None:
        """`time.sleep`."""
        time.sleep(seconds)
