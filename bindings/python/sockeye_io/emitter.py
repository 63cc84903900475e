"""`Emitter`: a program speaks to the clients of a cluster, and is none of its servers."""

from __future__ import annotations

import atexit
import ctypes
import json as _json
import threading
import weakref
from ctypes import POINTER, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Optional

from . import _ffi
from ._base import names
from ._codec import Encoder, ModuleEncoder, arguments
from ._engine import emission_of
from .exceptions import EngineError

# What is left for messages that wait when the interpreter exits.
_EXIT_GRACE_S = 1.0
# How much later than the grace the end of an emitter may be told.
_LATER_MS = 1000


class _Target(ctypes.Structure):
    """`sockeye_emitter_target`."""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("nsp", c_char_p),
        ("nsp_len", c_size_t),
        ("rooms", POINTER(_ffi.Bytes)),
        ("room_count", c_size_t),
        ("except_", POINTER(_ffi.Bytes)),
        ("except_count", c_size_t),
    ]


class _State(ctypes.Structure):
    """`sockeye_emitter_state`."""

    _fields_ = [
        ("size", c_uint32),
        ("up", c_uint32),
        ("waiting", c_uint64),
        ("waiting_bytes", c_uint64),
        ("published", c_uint64),
        ("unconfirmed", c_uint64),
        ("dropped", c_uint64),
        ("downs", c_uint64),
    ]


_FUNCTIONS: dict[str, Any] = {
    "sockeye_emitter_open": (c_int32, [c_char_p, c_size_t, c_char_p, c_size_t, POINTER(c_void_p)]),
    "sockeye_emitter_emit": (c_int32, [c_void_p, POINTER(_Target), POINTER(_ffi.Emission)]),
    "sockeye_emitter_join": (c_int32, [c_void_p, POINTER(_Target), POINTER(_ffi.Bytes), c_size_t]),
    "sockeye_emitter_leave": (c_int32, [c_void_p, POINTER(_Target), POINTER(_ffi.Bytes), c_size_t]),
    "sockeye_emitter_disconnect": (c_int32, [c_void_p, POINTER(_Target), c_uint32]),
    "sockeye_emitter_server_emit": (c_int32, [c_void_p, c_char_p, c_size_t, POINTER(_ffi.Emission)]),
    "sockeye_emitter_get_state": (c_int32, [c_void_p, POINTER(_State)]),
    "sockeye_emitter_error": (c_int32, [c_void_p, POINTER(c_void_p)]),
    "sockeye_emitter_close": (c_int32, [c_void_p, c_uint32]),
}
_WAITING: dict[str, Any] = {
    "sockeye_emitter_flush": (c_int32, [c_void_p, c_uint32]),
    "sockeye_emitter_free": (c_int32, [c_void_p]),
}
_ffi.declare(_ffi.lib, _FUNCTIONS)
_ffi.declare(_ffi.waiting, _WAITING)
_ffi.check_sizes(_ffi.lib, {20: _Target, 21: _State})


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


class Emitter:
    """Emits to the clients of a cluster's servers, sockeye's and official ones, over their broker.

    `kind` and the further options are those of the servers' adapter, by their official names: `Emitter("redis://host", key="chat")`, or, in
    place of the URL, `nodes` of a Redis Cluster.
    Nothing but `flush` and `close` waits, so that it can be used in coroutines as well as in threads. What is emitted while the broker is
    not reached waits, up to `publishQueueBytes`; beyond that `EngineError` (`SOCKEYE_ERR_FULL`) is raised.
    """

    def __init__(self, url: Optional[str] = None, *, kind: str = "redis", json: Any = None, **options: Any) -> None:
        self._lock = threading.Lock()
        # Held by who waits, so that nobody frees it meanwhile.
        self._waiting = threading.Lock()
        self._handle: Optional[c_void_p] = None
        self._encoder: Any = Encoder() if json is None else ModuleEncoder(json)
        text = _json.dumps(options if url is None else {"url": url, **options}).encode()
        name, handle = kind.encode(), c_void_p()
        _ffi.check(_ffi.lib.sockeye_emitter_open(name, len(name), text, len(text), ctypes.byref(handle)))
        self._handle = handle
        _emitters.add(weakref.ref(self, _emitters.discard))

    def _call(self, function: Any, *args: Any) -> None:
        with self._lock:
            if self._handle is None:
                raise EngineError(_ffi.ERR_CLOSED, "SOCKEYE_ERR_CLOSED", "the emitter is closed")
            _ffi.check(function(self._handle, *args))

    # ---- to clients -------------------------------------------------------------------------------------------------------------

    def emit(self, event: str, data: Any = None, to: Any = None, room: Any = None, skip_sid: Any = None,
             namespace: Optional[str] = None, *, except_: Any = None, volatile: bool = False) -> None:  # fmt: skip
        """Emits an event to a client (its sid), a room, several rooms (a list), or all of the namespace; as `Server.emit`."""
        emission, keep = self._emission(event, arguments(data))
        if volatile:
            emission.flags |= _ffi.VOLATILE
        target = _target(to or room, names(skip_sid) + names(except_), namespace)
        self._call(_ffi.lib.sockeye_emitter_emit, ctypes.byref(target), ctypes.byref(emission))
        del keep

    def send(self, data: Any, to: Any = None, room: Any = None, skip_sid: Any = None, namespace: Optional[str] = None,
             **kwargs: Any) -> None:  # fmt: skip
        """Emits the event `message`."""
        self.emit("message", data, to, room, skip_sid, namespace, **kwargs)

    def sockets_join(self, rooms: Any, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None) -> None:
        """Puts all clients of a namespace, or of the rooms `to`, into rooms."""
        self._move(_ffi.lib.sockeye_emitter_join, rooms, _target(to, names(except_), namespace))

    def sockets_leave(self, rooms: Any, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None) -> None:
        """Takes all clients of a namespace, or of the rooms `to`, out of rooms."""
        self._move(_ffi.lib.sockeye_emitter_leave, rooms, _target(to, names(except_), namespace))

    def disconnect_sockets(self, to: Any = None, namespace: Optional[str] = None, *, except_: Any = None, close: bool = False) -> None:
        """Disconnects all clients of a namespace, or of the rooms `to`; with `close` from all of their namespaces."""
        target = _target(to, names(except_), namespace)
        self._call(_ffi.lib.sockeye_emitter_disconnect, ctypes.byref(target), _ffi.CLOSE_TRANSPORT if close else 0)

    def enter_room(self, sid: str, room: Any, namespace: Optional[str] = None) -> None:
        """Puts a client into a room."""
        self.sockets_join(room, sid, namespace)

    def leave_room(self, sid: str, room: Any, namespace: Optional[str] = None) -> None:
        """Takes a client out of a room."""
        self.sockets_leave(room, sid, namespace)

    def close_room(self, room: Any, namespace: Optional[str] = None) -> None:
        """Takes everybody out of a room."""
        self.sockets_leave(room, room, namespace)

    def disconnect(self, sid: str, namespace: Optional[str] = None, *, close: bool = False) -> None:
        """Disconnects a client."""
        self.disconnect_sockets(sid, namespace, close=close)

    # ---- to servers -------------------------------------------------------------------------------------------------------------

    def server_side_emit(self, event: str, *args: Any, namespace: Optional[str] = None) -> None:
        """Emits an event to the servers, not their clients."""
        emission, keep = self._emission(event, list(args))
        name = (namespace or "/").encode()
        self._call(_ffi.lib.sockeye_emitter_server_emit, name, len(name), ctypes.byref(emission))
        del keep

    def _move(self, function: Any, rooms: Any, target: _Target) -> None:
        listed = _ffi.bytes_array(names(rooms))
        self._call(function, ctypes.byref(target), listed, len(listed))

    def _emission(self, event: str, args: list[Any]) -> tuple[_ffi.Emission, list[Any]]:
        """The struct, and what it points to."""
        with self._lock:
            payload, attachments = self._encoder.encode(args)
        keep: list[Any] = []
        return emission_of(event, payload, attachments, keep), keep

    # ---- what becomes of it -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """`up`, `waiting`, `waiting_bytes`, `published`, `unconfirmed` (perhaps lost when the connection broke), `dropped`, `downs`, and
        `error`: why the broker was last lost, or not reached."""
        state, error = _State(size=ctypes.sizeof(_State)), c_void_p()
        self._call(_ffi.lib.sockeye_emitter_get_state, ctypes.byref(state))
        self._call(_ffi.lib.sockeye_emitter_error, ctypes.byref(error))
        values = {name: getattr(state, name) for name, *_ in _State._fields_[1:]}
        return {**values, "up": bool(state.up), "error": _ffi.take_buffer(error)}

    def flush(self, timeout: float = 5.0) -> None:
        """Waits until the broker has taken what was emitted before.

        Raises `EngineError`: `SOCKEYE_ERR_TIMEOUT` after so many seconds, `SOCKEYE_ERR_IO` if some may be lost.
        """
        with self._waiting:
            if self._handle is None:
                raise EngineError(_ffi.ERR_CLOSED, "SOCKEYE_ERR_CLOSED", "the emitter is closed")
            _ffi.check(_ffi.waiting.sockeye_emitter_flush(self._handle, _ms(timeout)))

    def close(self, timeout: float = 5.0) -> None:
        """As `flush`, and the end. May be called again."""
        with self._lock:
            if self._handle is None:
                return
            # Flushes in other threads end with it.
            _ffi.lib.sockeye_emitter_close(self._handle, _ms(timeout))
        with self._waiting:
            with self._lock:
                handle, self._handle = self._handle, None
            if handle is None:
                return
            result = _ffi.waiting.sockeye_emitter_flush(handle, _ms(timeout) + _LATER_MS)
            why = str(_ffi.lib.sockeye_last_error(), "utf-8", "replace")
            # Of the parent of this process: FORKED, and not to be freed here.
            _ffi.waiting.sockeye_emitter_free(handle)
        if result < 0:
            raise EngineError(result, _ffi.error_name(result), why)

    def __enter__(self) -> "Emitter":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            _end(self)


def _target(rooms: Any, except_: tuple[bytes, ...], namespace: Optional[str]) -> _Target:
    """The struct; it keeps alive what it points to."""
    nsp = (namespace or "/").encode()
    target = _Target(size=ctypes.sizeof(_Target), nsp=nsp, nsp_len=len(nsp))
    for listed, pointer, count in ((names(rooms), "rooms", "room_count"), (except_, "except_", "except_count")):
        if listed:
            setattr(target, pointer, _ffi.bytes_array(listed))
            setattr(target, count, len(listed))
    return target


# Not a WeakSet, which threads cannot change while it is looked through.
_emitters: "set[weakref.ref[Emitter]]" = set()


def _end(emitter: Emitter) -> None:
    try:
        emitter.close(_EXIT_GRACE_S)
    except EngineError:
        # Nobody is left who could be told.
        pass


@atexit.register
def _end_all() -> None:
    for reference in list(_emitters):
        emitter = reference()
        if emitter is not None:
            _end(emitter)
