"""What both servers share: the engine's life, clients, targets, and the books of answers that are awaited."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, NamedTuple, Optional

from . import _ffi
from ._codec import Encoder, ModuleEncoder, arguments
from ._engine import Engine, Event, Target, operation
from ._options import engine_options
from ._registry import RESERVED, Registry, Route
from .exceptions import BadNamespaceError
from .exceptions import ConnectionRefusedError as Refusal
from .exceptions import DisconnectedError, EngineError, TimeoutError, UnknownClientError

# The reasons of python-socketio for what the official server calls otherwise.
REASONS = {
    "client namespace disconnect": "client disconnect",
    "server namespace disconnect": "server disconnect",
    "forced server close": "server disconnect",
    "server shutting down": "server disconnect",
}


# The engine's default.
_CONNECT_TIMEOUT_MS = 45_000
# How long the callbacks of an emission to many are kept.
_CALLBACKS_S = 60
# Failures that only say that a client left.
_LEFT = (_ffi.ERR_STALE, _ffi.ERR_GONE, _ffi.ERR_CLOSED)


class NotHandled:
    """What an event without a handler gives: its client gets no acknowledgement."""


class Reason:
    """Why a client left, as `disconnect` handlers are told."""

    CLIENT_DISCONNECT = "client disconnect"
    SERVER_DISCONNECT = "server disconnect"
    PING_TIMEOUT = "ping timeout"
    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"


class Client:
    """A client in a namespace."""

    __slots__ = ("socket", "sid", "nsp", "namespace", "session", "environ", "rooms", "jobs", "is_in", "leaves")

    def __init__(self, socket: int, sid: str, nsp: int, namespace: str):
        self.socket = socket
        self.sid = sid
        self.nsp = nsp
        self.namespace = namespace
        self.session: Optional[dict[str, Any]] = None
        self.environ: Optional[dict[str, Any]] = None
        # Those that it was in when it left.
        self.rooms: Optional[list[str]] = None
        # Whether it has joined. Who is to be disconnected before leaves then, with these flags: the engine ends what has begun.
        self.is_in = False
        self.leaves: Optional[int] = None
        # With `async_handlers=False`: what waits for its handler that runs.
        self.jobs: Any = None


class FetchedSocket(NamedTuple):
    """A client as `fetch_sockets` found it."""

    sid: str
    handshake: dict[str, Any]
    rooms: list[str]
    data: Any


class Asked:
    """Acknowledgements that are awaited, of one client or of many; they go to a future or a callback."""

    __slots__ = ("many", "future", "callback", "replies")

    def __init__(self, many: bool, future: Any = None, callback: Optional[Callable[..., Any]] = None):
        self.many = many
        self.future = future
        self.callback = callback
        self.replies: list[Any] = []


def unwrapped(args: list[Any]) -> Any:
    """What `call` returns for the arguments of an acknowledgement: nothing, the one, or a tuple."""
    return None if not args else args[0] if len(args) == 1 else tuple(args)


def names(value: Any) -> tuple[bytes, ...]:
    """One room or several, as the engine takes them: text in UTF-8."""
    if value is None:
        return ()
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple([str(room).encode() for room in value])
    return (str(value).encode(),)


def close_flags(close: bool, silent: bool) -> int:
    """How a client is to be disconnected."""
    return _ffi.CLOSE_SILENT if silent else _ffi.CLOSE_TRANSPORT if close else 0


class BaseServer(Registry):
    """Clients and what is done to them. What runs handlers, and when operations go to the engine, is the subclasses' part."""

    #: What `trigger_event` gives for an event without a handler.
    not_handled = NotHandled
    #: The reasons that `disconnect` handlers are told.
    reason = Reason
    #: Events that clients cannot send.
    reserved_events = list(RESERVED)
    #: python-socketio's name of what the server runs on.
    async_mode = "threading"

    def __init__(self, client_manager: Any = None, logger: Any = False, serializer: Any = "default", json: Any = None,
                 async_handlers: bool = True, always_connect: bool = False, namespaces: Any = None, async_mode: Any = None,
                 engineio_logger: Any = False, monitor_clients: bool = True, **options: Any):  # fmt: skip
        if serializer != "default":
            raise NotImplementedError("serializer: the engine has only the default one yet")
        super().__init__()
        # Kind and options of the engine's adapter.
        self._adapter: Optional[tuple[str, dict[str, Any]]] = None
        if client_manager is not None:
            from .managers import adapter_of

            self._adapter = adapter_of(client_manager)
        self.async_handlers = async_handlers
        self.always_connect = always_connect
        self.namespaces = ["/"] if not namespaces else [namespaces] if isinstance(namespaces, str) else list(namespaces)
        self.logger = self._logger(logger)
        self._loads = None if json is None else json.loads
        self._json = json
        self._encode = self._new_encoder().encode
        # A text of our own encoder needs no second look.
        self._emit_flags = _ffi.TRUST_JSON if json is None else 0
        self._options = engine_options(**options)
        self._answer_patience_s = self._options.get("connectTimeout", _CONNECT_TIMEOUT_MS) / 1000
        self._engine: Optional[Engine] = None
        self._clients: dict[int, Client] = {}
        self._sids: dict[str, Client] = {}
        self._nsps: dict[int, str] = {}
        self._nsp_ids: dict[str, int] = {}
        # Those that clients did not make.
        self._own_nsps: set[int] = set()
        self._asked: dict[int, Asked] = {}
        # For what several threads touch at a time: completions, which can come before the call that asked has returned its token, the
        # jobs of clients, whether they have joined, and the namespaces. The engine's lock is taken within it, never around it.
        self._books = threading.RLock()
        self._has_pattern = False

    @staticmethod
    def _logger(logger: Any) -> logging.Logger:
        if logger is False or logger is None:
            return logging.getLogger("sockeye_io")
        if not isinstance(logger, bool):
            given: logging.Logger = logger
            return given
        named = logging.getLogger("sockeye_io")
        if named.level == logging.NOTSET:
            named.setLevel(logging.INFO)
        if not named.hasHandlers():
            named.addHandler(logging.StreamHandler())
        return named

    def _new_encoder(self) -> Any:
        return Encoder() if self._json is None else ModuleEncoder(self._json)

    def _registered(self, namespace: str, event: str) -> None:
        # Either it sees the engine, or who makes the engine sees the handler.
        with self._books:
            if self._engine is not None and self._engine.is_open:
                self._open_namespace(namespace)
                if event != "*":
                    self._engine.intern(event)

    # ---- the engine -------------------------------------------------------------------------------------------------------------

    def _make_engine(self, http_events: bool) -> Engine:
        if self._engine is not None and self._engine.is_open:
            return self._engine
        # Namespaces that clients made by `"*"` end with their last client; the engine cannot do that in a cluster.
        options = {"cleanupEmptyChildNamespaces": self._adapter is None, **self._options}
        if http_events:
            options["httpEvents"] = True
        engine = Engine(options)
        if self._adapter is not None:
            try:
                engine.set_adapter(*self._adapter)
            except EngineError:
                engine.free()
                raise
        with self._books:
            self._engine = engine
            self._nsps, self._nsp_ids, self._own_nsps, self._has_pattern = {}, {}, set(), False
            self._clients, self._sids = {}, {}
            # Copies, for other threads may register handlers meanwhile.
            for name in {*self.namespaces, *list(self.handlers), *list(self.namespace_handlers), "/"}:
                self._open_namespace(name)
            for handlers in list(self.handlers.values()):
                for event in list(handlers):
                    engine.intern(event)
        return engine

    def _open_namespace(self, name: str) -> None:
        engine = self._running()
        with self._books:
            if name == "*":
                if not self._has_pattern:
                    self._has_pattern = True
                    engine.namespace("", pattern=True)
            elif self._nsp_ids.get(name) not in self._own_nsps:
                # One that a client made becomes our own, and stays.
                nsp = engine.namespace(name)
                self._own_nsps.add(nsp)
                self._learn(nsp, name)

    def _learn(self, nsp: int, name: str) -> None:
        with self._books:
            self._nsps[nsp] = name
            self._nsp_ids[name] = nsp

    def _unlearn(self, nsp: int, name: str) -> None:
        with self._books:
            self._nsps.pop(nsp, None)
            # A client may have made it anew before this was told.
            if self._nsp_ids.get(name) == nsp:
                del self._nsp_ids[name]

    def _running(self) -> Engine:
        if self._engine is None:
            raise EngineError(_ffi.ERR_CLOSED, "SOCKEYE_ERR_CLOSED", "the server is not started")
        return self._engine

    def _accepts(self, namespace: str) -> bool:
        known = (self.namespaces, self.handlers, self.namespace_handlers)
        return any(namespace in names or "*" in names for names in known)

    # ---- clients ----------------------------------------------------------------------------------------------------------------

    def _admit(self, event: Event) -> Optional[Client]:
        """The client that an AUTHORIZE event speaks of; None if it has left already."""
        try:
            info = self._running().info(event.socket)
            if event.nsp not in self._nsps:
                # Another I/O thread made it, whose word of it comes later.
                self._learn(event.nsp, self._running().namespace_name(event.nsp))
        except EngineError:
            return None
        client = Client(event.socket, info.id.decode(), event.nsp, self._nsps[event.nsp])
        self._clients[event.socket] = client
        self._sids[client.sid] = client
        return client

    def _forget(self, client: Client) -> None:
        # A handler may end after the server was shut down and started again, and the engine's numbers begin anew then.
        clients = self._clients
        if clients.get(client.socket) is client:
            clients.pop(client.socket, None)
        self._sids.pop(client.sid, None)

    def _known(self, sid: str, namespace: Optional[str] = None) -> Optional[Client]:
        """The client of a sid; None if there is none, or in another namespace than was named."""
        client = self._sids.get(sid)
        return client if client is None or namespace is None or client.namespace == namespace else None

    def _client(self, sid: str, namespace: Optional[str] = None) -> Client:
        client = self._known(sid, namespace)
        if client is None:
            raise UnknownClientError(f"there is no client {sid!r} in the namespace {namespace or '/'}")
        return client

    def _with_client(self, call: Callable[..., Any], sid: str, namespace: Optional[str], *args: Any) -> Any:
        """Calls the engine with a client, of which it may know before this does that it has left."""
        try:
            return call(self._client(sid, namespace).socket, *args)
        except EngineError as error:
            if error.code not in _LEFT:
                raise
            raise UnknownClientError(f"the client {sid!r} has left") from None

    def _environ(self, client: Client) -> dict[str, Any]:
        if client.environ is None:
            # Loaded when a client comes: a server listens without it.
            from ._environ import HandshakeEnviron

            environ = HandshakeEnviron(self._running().handshake(client.socket))
            with self._books:
                # Another thread may have been first.
                if client.environ is None:
                    client.environ = environ
        return client.environ

    def _connect_args(self, route: Route, client: Client, auth: Any) -> list[Any]:
        args = [*route.prefix, client.sid, self._environ(client)]
        if route.arity >= 3:
            args.append(auth or None)
        return args

    def _disconnect_args(self, route: Route, client: Client, event: Event) -> list[Any]:
        args = [*route.prefix, client.sid]
        if route.arity >= 2:
            args.append(REASONS.get(event.name, event.name))
        return args

    def _decide(self, client: Client, token: int, result: Any) -> None:
        """Lets a client in, or refuses it: `result` is what its handler gave, or the exception that it raised."""
        engine = self._running()
        try:
            if isinstance(result, BaseException) or result is False:
                self._forget(client)
                engine.reject(token, *self._refusal(result))
            elif not self.always_connect:
                engine.accept(token)
        except EngineError as error:
            # It left while the handler ran: then there is no DISCONNECT event either.
            self._forget(client)
            if error.code not in _LEFT:
                self.logger.warning("a client could not be admitted: %s", error)

    def _refusal(self, result: Any) -> tuple[str, Optional[bytes]]:
        """The message and the data, as JSON, of the refusal that a result means."""
        if isinstance(result, ConnectionRefusedError):
            # Python's own exception of this name.
            return "Connection refused by server", None
        if not isinstance(result, Refusal):
            # What another exception says is not for clients.
            return "Connection rejected by server", None
        message, data = result.message, result.data
        try:
            return message, None if data is None else self._encode([data])[0][1:-1]
        except Exception:
            self.logger.exception("the data of a refusal cannot be sent")
            return message, None

    def _on_joined(self, event: Event) -> None:
        client = self._clients.get(event.socket)
        if client is None:
            return
        with self._books:
            client.is_in = True
        if client.leaves is not None:
            self._running().add(operation(_ffi.OP_DISCONNECT, client.socket, flags=client.leaves))

    # ---- targets and operations -----------------------------------------------------------------------------------------------

    # Replaced where there are threads: an encoder is for one at a time.
    _encode: Callable[[list[Any]], tuple[bytes, Any]]

    def _find_nsp(self, namespace: Optional[str]) -> int:
        """The engine's number of a namespace; 0 if there is none, and so nobody in it."""
        name = namespace or "/"
        if name not in self._nsp_ids and self._has_pattern and self._adapter is not None:
            # Nobody was there on this server. On another one there may be somebody.
            self._open_namespace(name)
        return self._nsp_ids.get(name, 0)

    def _nsp(self, namespace: Optional[str]) -> int:
        nsp = self._find_nsp(namespace)
        if not nsp:
            raise BadNamespaceError(f"there is no namespace {namespace!r}")
        return nsp

    def _target(self, to: Any, except_: tuple[bytes, ...] = (), namespace: Optional[str] = None, local: bool = False) -> Target:
        return Target(self._find_nsp(namespace), names(to), except_, local)

    def _with_target(self, call: Callable[..., Any], target: Target, *args: Any) -> Any:
        """Calls the engine with a target; None if nobody can be there, since its namespace is not, or has ended just now."""
        if not target.nsp:
            return None
        try:
            return call(target, *args)
        except EngineError as error:
            if error.code != _ffi.ERR_INVALID or target.nsp in self._own_nsps:
                raise
            return None

    def _move(self, rooms: Any, target: Target, join: bool) -> None:
        self._with_target(self._running().move, target, names(rooms), join)

    def _fetch(self, future: Any, target: Target) -> None:
        with self._books:
            token = self._with_target(self._running().fetch, target)
            if token is None:
                future.set_result([])
            else:
                self._asked[token] = Asked(True, future)

    def _one(self, to: Any, skip: tuple[bytes, ...], namespace: Optional[str]) -> Optional[Client]:
        """The client that `to` names, if it names just one."""
        if type(to) is not str or skip:
            return None
        client = self._sids.get(to)
        return client if client is not None and (namespace is None or client.namespace == namespace) else None

    def _add_emit(self, event: str, data: Any, to: Any, skip: tuple[bytes, ...], namespace: Optional[str], volatile: bool,
                  local: bool) -> bool:  # fmt: skip
        """Puts an emission after the operations that wait; false if there is no engine that would take it."""
        payload, attachments = self._encode(arguments(data))
        engine = self._engine
        if engine is None or not engine.is_open:
            if engine is not None and engine.is_forked:
                raise engine.gone()
            return False
        flags = self._emit_flags | (_ffi.VOLATILE if volatile else 0)
        client = self._one(to, skip, namespace)
        if client is None:
            target = self._target(to, skip, namespace, local=local)
            if not target.nsp:
                return False
            engine.add((_ffi.OP_BROADCAST, 0, 0, engine.name(event), payload, attachments, flags, target, ()))
        else:
            engine.add((_ffi.OP_EMIT, client.socket, 0, engine.name(event), payload, attachments, flags, None, ()))
        return True

    def _add_disconnect(self, client: Client, flags: int = 0) -> None:
        """Adds the end of a client: now, or when it is let in."""
        with self._books:
            if not client.is_in:
                client.leaves = flags
                return
        self._running().add(operation(_ffi.OP_DISCONNECT, client.socket, flags=flags))

    def _add_ack(self, token: int, result: Any) -> None:
        payload, attachments = self._encode(arguments(result))
        self._running().add((_ffi.OP_ACK, 0, token, 0, payload, attachments, self._emit_flags, None, ()))

    def _ask(self, asked: Asked, event: str, data: Any, to: Any, skip: tuple[bytes, ...], namespace: Optional[str], timeout: Optional[float],
             volatile: bool = False) -> None:  # fmt: skip
        """Emits with an acknowledgement. `asked.many` is whether the target may be several."""
        payload, attachments = self._encode(arguments(data))
        client = None if asked.many else self._one(to, skip, namespace)
        asked.many = client is None
        target = None if client else self._target(to, skip, namespace)
        if target is not None and not target.nsp:
            if asked.future is not None:
                asked.future.set_result(asked.replies)
            return
        if timeout is None and target is not None:
            # For the engine, no time at all is at once where there are several.
            timeout = _CALLBACKS_S
        timeout_ms = 0 if timeout is None else max(1, round(timeout * 1000))
        socket = client.socket if client else 0
        flags = self._emit_flags | (_ffi.VOLATILE if volatile else 0)
        try:
            token = self._running().ask(socket, target, event, payload, attachments, timeout_ms, flags)
        except EngineError as error:
            if error.code not in _LEFT:
                raise
            # Nobody is there who could answer.
            if asked.future is not None:
                asked.future.set_exception(DisconnectedError("the client has left"))
            return
        self._asked[token] = asked

    def _on_ack(self, event: Event) -> None:
        partial = event.flags & _ffi.PARTIAL
        asked = self._asked.get(event.token) if partial else self._asked.pop(event.token, None)
        if asked is None:
            return
        args = event.data if isinstance(event.data, list) else []
        replied = partial if asked.many else event.status == _ffi.OK
        if replied and asked.callback is not None:
            self._call_back(asked.callback, args)
        if partial:
            asked.replies.append(unwrapped(args))
        elif asked.future is not None and not asked.future.done():
            if event.status == _ffi.OK:
                asked.future.set_result(asked.replies if asked.many else args)
            elif event.status == _ffi.ERR_TIMEOUT:
                asked.future.set_exception(TimeoutError("no acknowledgement came in time", asked.replies))
            else:
                asked.future.set_exception(DisconnectedError("the client left before it answered"))

    def _on_sockets(self, event: Event) -> None:
        asked = self._asked.pop(event.token, None)
        if asked is None or asked.future.done():
            return
        found = [FetchedSocket(one["id"], one["handshake"], one["rooms"], one.get("data", {})) for one in event.data]
        if event.status == _ffi.OK:
            asked.future.set_result(found)
        elif event.status == _ffi.ERR_TIMEOUT:
            asked.future.set_exception(TimeoutError("not all servers have told their clients in time", found))
        else:
            asked.future.set_exception(DisconnectedError("the server was shut down"))

    def _call_back(self, callback: Callable[..., Any], args: list[Any]) -> None:
        raise NotImplementedError

    def _end_all(self) -> None:
        """After the last event: nobody is there any more, and nobody will answer."""
        # Who asked while the engine was there has its question in the books when this comes to them.
        with self._books:
            for asked in self._asked.values():
                if asked.future is not None and not asked.future.done():
                    asked.future.set_exception(DisconnectedError("the server was shut down"))
            self._asked.clear()

    # ---- what needs no waiting in either server ---------------------------------------------------------------------------------

    def rooms(self, sid: str, namespace: Optional[str] = None) -> list[str]:
        """The rooms that a client is in, its own among them; none if there is no such client. In a `disconnect` handler: those it was in."""
        client = self._known(sid, namespace)
        if client is None:
            return []
        if client.rooms is not None:
            return list(client.rooms)
        try:
            return self._running().rooms(client.socket)
        except EngineError as error:
            if error.code not in _LEFT:
                raise
            # Just now; what it was in may have been told meanwhile.
            return list(client.rooms or ())

    def get_environ(self, sid: str, namespace: Optional[str] = None) -> Optional[dict[str, Any]]:
        """The WSGI environment of a client's handshake; None if there is no such client."""
        client = self._known(sid, namespace)
        try:
            return None if client is None else self._environ(client)
        except EngineError as error:
            if error.code not in _LEFT:
                raise
            return None

    def transport(self, sid: str, namespace: Optional[str] = None) -> str:
        """`"polling"` or `"websocket"`."""
        info = self._with_client(self._running().info, sid, namespace)
        return "websocket" if info.transport == _ffi.TRANSPORT_WEBSOCKET else "polling"

    def namespace_rooms(self, namespace: Optional[str] = None) -> list[str]:
        """All rooms of a namespace that have members, each client's own included."""
        nsp = self._find_nsp(namespace)
        return self._running().namespace_rooms(nsp) if nsp else []

    def metrics(self) -> dict[str, Any]:
        """What the engine holds and has counted, by the names of the C API; see its manual for what each means."""
        return self._running().metrics()

    def metrics_text(self) -> str:
        """The same as Prometheus text."""
        return self._running().metrics_text()

    def set_data(self, sid: str, data: Any, namespace: Optional[str] = None) -> None:
        """Sets what `fetch_sockets` shows as a client's `data`."""
        text, _ = self._encode([data])
        self._with_client(self._running().set_data, sid, namespace, text[1:-1])
