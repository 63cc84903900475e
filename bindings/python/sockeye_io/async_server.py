"""`AsyncServer`: handlers on an asyncio loop, which watches the descriptor of the engine's queue."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any, AsyncIterator, Callable, Optional

from . import _ffi
from ._base import Asked, Client, FetchedSocket, close_flags, names, unwrapped
from ._dispatch import Dispatcher
from ._engine import Event, operation
from ._peers import only_reply
from ._registry import Route, is_async
from ._tasks import Runner
from .exceptions import EngineError
from .namespace import AsyncNamespace

# How long the last packets may take when the server is shut down.
_GRACE_S = 1.0


class AsyncServer(Dispatcher):
    """A Socket.IO server for asyncio, with the API of python-socketio's class of this name.

    Constructor arguments are python-socketio's: `logger`, `json`, `async_handlers`, `always_connect`, `namespaces`, `ping_interval` and
    `ping_timeout` (seconds), `max_http_buffer_size`, `allow_upgrades`, `http_compression`, `compression_threshold`, `cookie`,
    `cors_allowed_origins`, `cors_credentials`, `transports`; and `options`, a dict of the engine's own by their official names
    (`{"shards": 2, "limits": {"messagesPerSecond": 50}}`), which win.

    It belongs to the loop that it was started in: its methods are to be called there.
    """

    async_mode = "asgi"
    _loop: asyncio.AbstractEventLoop
    _runner: Runner

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # While events are handled, what they make is sent at the end.
        self._corked = False
        self._flush_is_due = False
        self._closed: Optional[asyncio.Event] = None
        self._fd: Optional[int] = None

    def is_asyncio_based(self) -> bool:
        """True."""
        return True

    def _namespace_class(self) -> type:
        return AsyncNamespace

    # ---- serving ----------------------------------------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 5000, app: Any = None, static_files: Optional[dict[str, Any]] = None) -> int:
        """Listens, and returns the port (the system's choice for 0). Another call listens on another address as well.

        `app` is an ASGI application for all other paths, `static_files` maps paths to files or folders, as in python-socketio.
        """
        if self._fd is not None and self._loop.is_closed():
            # Its loop ended without shutdown(), as at the end of asyncio.run().
            self._fd = None
            self._finish()
        if self._fd is None:
            self._loop = asyncio.get_running_loop()
            self._runner = Runner(self._loop, self._end_turn)
            self._closed = asyncio.Event()
            engine = self._make_engine(http_events=app is not None or bool(static_files))
            try:
                if app is not None or static_files:
                    # Loaded when they are needed: they cost more than all else that a server listens with.
                    from ._asgi import AsgiHost
                    from ._files import StaticFiles

                    self._http = AsgiHost(app, StaticFiles(static_files or {}), engine, self._runner, self._answer_patience_s)
                    await self._http.startup()
                # Before the first client, so that a name in use is an error and nothing else.
                bound = engine.listen(host, port)
            except BaseException:
                engine.free()
                await self._end_app()
                raise
            self._fd = engine.fileno()
            self._loop.add_reader(self._fd, self._on_readable)
            return bound
        if app is not None or static_files:
            raise ValueError("app and static_files are decided by the first start()")
        return self._running().listen(host, port)

    async def serve(self, host: str = "127.0.0.1", port: int = 5000, app: Any = None, static_files: Optional[dict[str, Any]] = None) -> None:
        """Listens, and returns when the server was shut down; being cancelled shuts it down."""
        await self.start(host, port, app, static_files)
        try:
            await self.wait()
        finally:
            await self.shutdown()

    async def wait(self) -> None:
        """Returns when the server is shut down."""
        if self._closed is not None:
            await self._closed.wait()

    def run(self, host: str = "127.0.0.1", port: int = 5000, app: Any = None, static_files: Optional[dict[str, Any]] = None) -> None:
        """Serves with a loop of its own until Ctrl-C or SIGTERM, and shuts down in order."""

        async def main() -> None:
            serving = asyncio.ensure_future(self.serve(host, port, app, static_files))
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await serving

        asyncio.run(main())

    async def shutdown(self, grace: float = _GRACE_S) -> None:
        """Disconnects all clients (`server shutting down`), and waits until all is closed; what was sent has `grace` seconds to go out.

        The `disconnect` handlers run; tasks of handlers that still wait afterwards are cancelled.
        """
        if self._closed is None or self._engine is None or self._closed.is_set():
            return
        self._engine.flush()
        self._engine.close(round(grace * 1000))
        await self._closed.wait()
        # One more turn for the handlers that the last events began.
        await asyncio.sleep(0)
        current = asyncio.current_task()
        left = [task for task in self._runner.tasks if task is not current]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._end_app()

    async def _end_app(self) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.shutdown()

    # ---- events -----------------------------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        engine = self._running()
        self._corked = True
        try:
            self._take(engine.poll(0, self._loads) or ())
        except EngineError:
            if engine.is_open:
                raise
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        self._corked = False
        if self._engine is not None and self._engine.has_operations:
            self._engine.flush()

    def _begin(self, route: Route, args: tuple[Any, ...], done: Callable[..., Any], a: Any, b: Any, client: Client) -> None:
        if route.is_async:
            if self.async_handlers:
                self._runner.add(route.handler, args, done, a, b)
            else:
                job = (route.handler, args, done, a, b)
                if self._queue_up(client, job):
                    self._runner.spawn(self._in_order(client, job))
            return
        try:
            result = route.handler(*args)
        except Exception as error:
            result = error
        done(result, a, b)

    async def _in_order(self, client: Client, first: tuple[Any, ...]) -> None:
        job: Optional[tuple[Any, ...]] = first
        while job is not None:
            handler, args, done, a, b = job
            try:
                result = await handler(*args)
            except Exception as error:
                result = error
            done(result, a, b)
            self._end_turn()
            job = self._next_job(client)

    def _on_event(self, event: Event) -> None:
        if event.kind == _ffi.EVENT_CLOSED:
            self._on_closed()
        else:
            super()._on_event(event)

    def _on_closed(self) -> None:
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._fd = None
        # After the handlers of this batch.
        self._loop.call_soon(self._finish)

    def _finish(self) -> None:
        self._running().free()
        self._end_all()
        if self._closed is not None:
            self._closed.set()

    def _call_back(self, callback: Callable[..., Any], args: list[Any]) -> None:
        if is_async(callback):
            self._runner.add(callback, tuple(args), self._answer, 0, "a callback")
            return
        try:
            callback(*args)
        except Exception as error:
            self._report(error, "a callback")

    # ---- emitting ---------------------------------------------------------------------------------------------------------------

    def _due(self) -> None:
        """What was made outside of a handler's turn goes out at the end of the loop's."""
        if not self._corked and not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        if self._engine is not None:
            self._engine.flush()

    async def emit(self, event: str, data: Any = None, to: Any = None, room: Any = None, skip_sid: Any = None,
                   namespace: Optional[str] = None, callback: Optional[Callable[..., Any]] = None, ignore_queue: bool = False, *,
                   except_: Any = None, volatile: bool = False, local: bool = False) -> None:  # fmt: skip
        """Emits an event to a client (its sid), a room, several rooms (a list), or all of the namespace.

        `data`: a tuple is several arguments; `bytes` may stand anywhere in it. `skip_sid` leaves a client or a list of them out,
        `except_` rooms. `callback` is called with the arguments of the client's acknowledgement, of each client's if there are
        several. `volatile` drops it for clients that cannot be written to at once. `local`, or
        `ignore_queue`, leaves the clients of other servers out.
        """
        to = to or room
        skip = names(skip_sid) + names(except_) if skip_sid or except_ else ()
        if callback is not None:
            self._ask(Asked(False, callback=callback), event, data, to, skip, namespace, None, volatile)
        elif self._add_emit(event, data, to, skip, namespace, volatile, local or ignore_queue):
            self._due()

    async def send(self, data: Any, to: Any = None, room: Any = None, skip_sid: Any = None, namespace: Optional[str] = None,
                   callback: Optional[Callable[..., Any]] = None, ignore_queue: bool = False, **kwargs: Any) -> None:  # fmt: skip
        """Emits the event `message`."""
        await self.emit("message", data, to, room, skip_sid, namespace, callback, ignore_queue, **kwargs)

    async def call(self, event: str, data: Any = None, to: Optional[str] = None, sid: Optional[str] = None,
                   namespace: Optional[str] = None, timeout: Optional[float] = 60, ignore_queue: bool = False) -> Any:  # fmt: skip
        """Emits to one client and returns its acknowledgement: None, its argument, or a tuple of several.

        Raises `TimeoutError` after `timeout` seconds, `DisconnectedError` if the client leaves before.
        """
        to = to or sid
        if to is None:
            raise ValueError("call() needs the client that it is for")
        future = self._loop.create_future()
        if self._elsewhere(to, namespace) is not None:
            self._ask(Asked(True, future), event, data, to, (), namespace, timeout)
            return only_reply(await future)
        client = self._client(to, namespace)
        self._ask(Asked(False, future), event, data, client.sid, (), namespace, timeout)
        return unwrapped(await future)

    async def call_all(self, event: str, data: Any = None, to: Any = None, room: Any = None, skip_sid: Any = None,
                       namespace: Optional[str] = None, timeout: float = 60, *, except_: Any = None) -> list[Any]:  # fmt: skip
        """Emits to a room, rooms or all, and returns what each client acknowledged, as `call` would.

        Raises `TimeoutError` if one of them does not in time; its `replies` has those that came.
        """
        future = self._loop.create_future()
        skip = names(skip_sid) + names(except_)
        self._ask(Asked(True, future), event, data, to or room, skip, namespace, timeout)
        found: list[Any] = await future
        return found

    # ---- rooms, clients and sessions --------------------------------------------------------------------------------------------

    async def enter_room(self, sid: str, room: Any, namespace: Optional[str] = None) -> None:
        """Puts a client into a room; several rooms may be given as a list."""
        elsewhere = self._elsewhere(sid, namespace)
        if elsewhere is not None:
            self._running().move(elsewhere, names(room), join=True)
            return
        client = self._client(sid, namespace)
        self._running().add(operation(_ffi.OP_JOIN, client.socket, rooms=names(room)))
        self._due()

    async def leave_room(self, sid: str, room: Any, namespace: Optional[str] = None) -> None:
        """Takes a client out of a room."""
        elsewhere = self._elsewhere(sid, namespace)
        if elsewhere is not None:
            self._running().move(elsewhere, names(room), join=False)
            return
        client = self._known(sid, namespace)
        if client is not None:
            self._running().add(operation(_ffi.OP_LEAVE, client.socket, rooms=names(room)))
            self._due()

    async def close_room(self, room: Any, namespace: Optional[str] = None) -> None:
        """Takes everybody out of a room."""
        self._move(room, self._target(room, namespace=namespace), join=False)

    async def fetch_sockets(self, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None) -> list[FetchedSocket]:
        """The clients of a namespace, in rooms if `to` names some: sid, handshake, rooms and data of each."""
        future = self._loop.create_future()
        self._fetch(future, self._target(to, names(except_), namespace))
        found: list[Any] = await future
        return found

    async def disconnect(self, sid: str, namespace: Optional[str] = None, ignore_queue: bool = False, *, close: bool = False,
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
            self._due()

    async def sockets_join(self, rooms: Any, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None) -> None:
        """Puts all clients of a namespace, or of the rooms `to`, into rooms."""
        self._move(rooms, self._target(to, names(except_), namespace), join=True)

    async def sockets_leave(self, rooms: Any, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None) -> None:
        """Takes all clients of a namespace, or of the rooms `to`, out of rooms."""
        self._move(rooms, self._target(to, names(except_), namespace), join=False)

    async def disconnect_sockets(self, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None, close: bool = False) -> None:
        """Disconnects all clients of a namespace, or of the rooms `to`; with `close` from all of their namespaces."""
        self._with_target(self._running().disconnect_all, self._target(to, names(except_), namespace), close)

    # ---- other servers ----------------------------------------------------------------------------------------------------------

    async def server_side_emit(self, event: str, data: Any = None, namespace: Optional[str] = None) -> None:
        """Emits an event to the other servers of the cluster, not to clients. `data` is as for `emit`."""
        self._server_emit(event, data, namespace)

    async def server_side_call(self, event: str, data: Any = None, namespace: Optional[str] = None) -> list[Any]:
        """Emits an event to the other servers, and returns what their handlers returned.

        Raises `TimeoutError` if one does not answer within the cluster's `requestsTimeout`; its `replies` has those that came.
        """
        future = self._loop.create_future()
        self._server_emit(event, data, namespace, future)
        replies: list[Any] = await future
        return replies

    async def server_count(self, namespace: Optional[str] = None) -> int:
        """How many servers the cluster has, this one included."""
        future = self._loop.create_future()
        self._count_servers(namespace, future)
        count: int = await future
        return count

    # ---- sessions ---------------------------------------------------------------------------------------------------------------

    async def get_session(self, sid: str, namespace: Optional[str] = None) -> dict[str, Any]:
        """The session of a client: what was saved, at first an empty dict."""
        client = self._client(sid, namespace)
        if client.session is None:
            client.session = {}
        return client.session

    async def save_session(self, sid: str, session: dict[str, Any], namespace: Optional[str] = None) -> None:
        """Keeps a dict with a client, until it leaves."""
        self._client(sid, namespace).session = session

    @contextlib.asynccontextmanager
    async def session(self, sid: str, namespace: Optional[str] = None) -> AsyncIterator[dict[str, Any]]:
        """`async with sio.session(sid) as session:` gives the session, and saves it at the end."""
        session = await self.get_session(sid, namespace)
        yield session
        await self.save_session(sid, session, namespace)

    # ---- tasks ------------------------------------------------------------------------------------------------------------------

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """A task for a coroutine function; it is not cancelled by `shutdown`."""
        return asyncio.ensure_future(target(*args, **kwargs))

    async def sleep(self, seconds: float = 0) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(seconds)
