"""An engine as a Python object: options in, events out in batches, operations in by batches.

No protocol is spoken here, and nothing is known of handlers. Every call holds the engine's lock, so that none can meet an engine
that another thread frees. The one call that waits (`poll` with a timeout) does not hold it: `free` makes it return first.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import logging
import os
import struct
import threading
import weakref
from typing import Any, NamedTuple, Optional, Sequence, Union

from . import _ffi
from ._codec import restore
from ._ffi import lib, waiting
from .exceptions import EngineError

log = logging.getLogger("sockeye_io")

_HEAD = struct.Struct("<IIII")
_RECORD = struct.Struct("<HHIIiQQQIIIIII")
_LENGTH = struct.Struct("<I")
# What changes from one operation to the next; sizes stay.
_OP = struct.Struct("=IQQQQQQI")
_EMISSION = struct.Struct("=IIIQQQQQQ")
_OP_SIZE, _EMISSION_SIZE = ctypes.sizeof(_ffi.Op), ctypes.sizeof(_ffi.Emission)
_OP_AT, _EMISSION_AT = _ffi.Op.kind.offset, _ffi.Emission.flags.offset

# A batch that holds the event loop for about a millisecond at most.
_BUFFER_BYTES = 128 << 10
# Names that are interned; others travel as text, for the engine's table is bounded.
_ATOMS_MAX = 4096
# How many operations go over at once. More go over in several calls.
_SUBMIT_MAX = 512
# Failures that only say that a client left meanwhile.
_LEFT = (_ffi.ERR_STALE, _ffi.ERR_GONE, _ffi.ERR_CLOSED)


class Event(NamedTuple):
    """One event. `name` is text, `data` what its JSON says, with the attachments in it."""

    kind: int
    flags: int
    nsp: int
    status: int
    socket: int
    token: int
    name: str
    data: Any
    attachments: Sequence[bytes]


class Target(NamedTuple):
    """Whom an operation concerns: the members of any of `rooms` (none: all of the namespace) that are in none of `except_`. In the
    namespace 0 is nobody; the engine is not asked about it."""

    nsp: int
    rooms: tuple[bytes, ...] = ()
    except_: tuple[bytes, ...] = ()
    local: bool = False

    def mirror(self) -> _ffi.Target:
        """The struct; it keeps alive what it points to."""
        target = _ffi.Target(size=ctypes.sizeof(_ffi.Target), nsp=self.nsp, flags=_ffi.LOCAL if self.local else 0)
        if self.rooms:
            target.rooms = _ffi.bytes_array(self.rooms)
            target.room_count = len(self.rooms)
        if self.except_:
            target.except_ = _ffi.bytes_array(self.except_)
            target.except_count = len(self.except_)
        return target


def operation(kind: int, socket: int, token: int = 0, name: Union[int, bytes] = 0, data: bytes = b"", attachments: Sequence[bytes] = (),
              flags: int = 0, target: Optional[Target] = None, rooms: Sequence[bytes] = ()) -> tuple[Any, ...]:  # fmt: skip
    """What `Engine.add` takes; the `data` of an emission or acknowledgement is a JSON array, `name` comes from `Engine.name`.

    All is bytes here and can be carried out: what cannot is an error of who makes the operation, not of who flushes those of many.
    """
    return kind, socket, token, name, data, attachments, flags, target, rooms


class _Slots:
    """The arrays that operations are written into, made once."""

    def __init__(self) -> None:
        self.ops = (_ffi.Op * _SUBMIT_MAX)()
        self.emissions = (_ffi.Emission * _SUBMIT_MAX)()
        self.results = (ctypes.c_int32 * _SUBMIT_MAX)()
        self.first_emission = ctypes.addressof(self.emissions)
        for op, emission in zip(self.ops, self.emissions):
            op.size, emission.size = _OP_SIZE, _EMISSION_SIZE


class Engine:
    """An engine and its default queue. `options` are the engine's own, by their official names."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._lock = threading.RLock()
        self._forked = False
        self._handle: Optional[ctypes.c_void_p] = None
        text = json.dumps(options).encode()
        handle = ctypes.c_void_p()
        _ffi.check(lib.sockeye_engine_new_json(text, len(text), ctypes.byref(handle)))
        self._handle = handle
        self._queue = lib.sockeye_engine_queue(handle)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._used = ctypes.c_size_t()
        self._atoms: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._ops: list[tuple[Any, ...]] = []
        self._slots = _Slots()
        self._polling = threading.Lock()
        _engines.add(weakref.ref(self, _engines.discard))

    # ---- life -----------------------------------------------------------------------------------------------------------------

    def _call(self, function: Any, *args: Any) -> int:
        with self._lock:
            if self._handle is None:
                raise self.gone()
            return _ffi.check(function(self._handle, *args))

    def gone(self) -> EngineError:
        """Why calls reach no engine any more."""
        if self._forked:
            text = "the engine belongs to the parent of this process: make servers after os.fork()"
            return EngineError(_ffi.ERR_FORKED, "SOCKEYE_ERR_FORKED", text)
        return EngineError(_ffi.ERR_CLOSED, "SOCKEYE_ERR_CLOSED", "the engine is closed")

    @property
    def is_open(self) -> bool:
        """Whether calls still reach an engine."""
        return self._handle is not None

    @property
    def is_forked(self) -> bool:
        """Whether the engine is that of the parent of this process."""
        return self._forked

    def forget(self) -> None:
        """In a forked child: the engine's threads are in the parent, and nothing here may touch it."""
        self._forked = True
        self._handle = None
        self._lock = threading.RLock()
        self._polling = threading.Lock()
        self._ops = []

    def listen(self, host: str, port: int) -> int:
        """Listens, and gives the port, which the system chooses for 0."""
        address = (f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}").encode()
        bound = ctypes.c_uint16()
        self._call(lib.sockeye_engine_listen, address, len(address), ctypes.byref(bound))
        return bound.value

    def mount(self, prefix: str, folder: str) -> None:
        """Serves a folder's files."""
        where, what = prefix.encode(), os.fsencode(folder)
        self._call(lib.sockeye_engine_mount, where, len(where), what, len(what))

    def set_adapter(self, kind: str, options: dict[str, Any]) -> None:
        """Joins a cluster, before it listens."""
        name, text = kind.encode(), json.dumps(options).encode()
        self._call(lib.sockeye_engine_set_adapter, name, len(name), text, len(text))

    def fileno(self) -> int:
        """Readable while events wait."""
        fd = ctypes.c_ssize_t()
        with self._lock:
            if self._handle is None:
                raise self.gone()
            _ffi.check(lib.sockeye_queue_fd(self._queue, ctypes.byref(fd)))
        return fd.value

    def close(self, grace_ms: int) -> None:
        """Starts closing; CLOSED is the last event. May be called again."""
        with self._lock:
            if self._handle is not None:
                lib.sockeye_engine_close(self._handle, grace_ms)

    def free(self) -> None:
        """Ends the engine, whatever state it is in, and joins its threads. May be called again."""
        self.close(0)
        # A poll that waits returns now, for the queue is at its end.
        with self._polling, self._lock:
            handle, self._handle = self._handle, None
            self._ops = []
            if handle is not None:
                waiting.sockeye_engine_free(handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.free()

    # ---- events ---------------------------------------------------------------------------------------------------------------

    def poll(self, timeout_ms: int = 0, loads: Any = None) -> Optional[list[Event]]:
        """The next events; None after the last one. `loads` reads the JSON of messages, by default the standard library's."""
        with self._polling:
            if self._handle is None:
                return None
            count = self._poll_into(timeout_ms)
            if count == _ffi.ERR_CLOSED:
                return None
            if _ffi.check(count) == 0:
                return []
            with memoryview(self._buffer) as view:
                return self._unpack(view, loads)

    def _poll_into(self, timeout_ms: int) -> int:
        function = (waiting if timeout_ms else lib).sockeye_queue_poll_packed
        if len(self._buffer) > _BUFFER_BYTES:
            self._buffer = bytearray(_BUFFER_BYTES)
        while True:
            place = (ctypes.c_char * len(self._buffer)).from_buffer(self._buffer)
            count: int = function(
                self._queue, place, len(self._buffer), ctypes.byref(self._used), _ffi.PACK_JOINED, timeout_ms
            )
            del place
            if count != _ffi.ERR_TOO_BIG:
                return count
            # An event larger than the buffer, which waits.
            self._buffer = bytearray(self._used.value)

    def _unpack(self, view: memoryview, loads: Any) -> list[Event]:
        count, _, joined_at, joined_len = _HEAD.unpack_from(view)
        end = _HEAD.size + count * _RECORD.size
        records = _RECORD.iter_unpack(view[_HEAD.size : end])
        texts = None
        if loads is None:
            try:
                texts = json.loads(str(view[joined_at : joined_at + joined_len], "utf-8"))
            except (ValueError, RecursionError):
                # One of them is too much for Python: a number of thousands of digits, or deeper than its stack.
                texts = None
        events: list[Event] = []
        names, append, new = self._names, events.append, tuple.__new__
        for at, record in enumerate(records):
            kind, flags, nsp, atom, status, socket, _, token, name_at, name_len, data_at, data_len, bytes_at, parts = record
            name = names.get(atom) or str(view[name_at : name_at + name_len], "utf-8")
            try:
                data = texts[at] if texts is not None else _read(view[data_at : data_at + data_len], kind, loads)
                attachments: Sequence[bytes] = ()
                if parts:
                    attachments = _attachments(view, bytes_at, parts)
                    data = restore(data, attachments)
            except (ValueError, RecursionError) as error:
                log.warning("an event %r was dropped: its arguments cannot be read: %s", name, error)
                continue
            append(new(Event, (kind, flags, nsp, status, socket, token, name, data, attachments)))
        return events

    # ---- operations, many at a time ---------------------------------------------------------------------------------------------

    def intern(self, name: str) -> int:
        """The engine's number of a name, or 0 if it is to travel as text."""
        atom = self._atoms.get(name)
        if atom is None:
            atom = 0
            if name and len(self._atoms) < _ATOMS_MAX:
                text, number = name.encode(), ctypes.c_uint32()
                with self._lock:
                    if self._handle is None:
                        # What is emitted now goes nowhere.
                        return 0
                    _ffi.check(lib.sockeye_atom_of(self._handle, text, len(text), ctypes.byref(number)))
                atom = self._atoms[name] = number.value
                self._names[atom] = name
        return atom

    def name(self, name: str) -> Union[int, bytes]:
        """An event's name as operations carry it."""
        return self._atoms.get(name) or self.intern(name) or name.encode()

    def add(self, operation: tuple[Any, ...]) -> None:
        """Puts an operation (see `operation`) after those that wait for `flush`."""
        self._ops.append(operation)

    @property
    def has_operations(self) -> bool:
        """Whether `flush` would do anything."""
        return bool(self._ops)

    def flush(self) -> None:
        """Carries out the operations that wait, in order. What fails is logged, unless a client only left meanwhile."""
        with self._lock:
            while self._ops and self._handle is not None:
                ops = self._ops[:_SUBMIT_MAX]
                # Not a new list, and no more than was taken: another thread may be adding to this one.
                del self._ops[: len(ops)]
                self._submit(ops)

    def _submit(self, ops: list[tuple[Any, ...]]) -> None:
        slots = self._slots
        payload = b"".join([op[4] for op in ops])
        address = ctypes.cast(ctypes.c_char_p(payload), ctypes.c_void_p).value or 0
        keep: list[Any] = []
        to_ops, to_emissions, first_emission = slots.ops, slots.emissions, slots.first_emission
        for at, (kind, socket, token, name, data, attachments, flags, target, rooms) in enumerate(ops):
            target_at = rooms_at = name_at = name_len = parts_at = 0
            if type(name) is bytes:
                name_at, name_len = _address(name, keep)
                name = 0
            if attachments:
                parts_at = _address_of_array(attachments, keep)
            if target is not None:
                mirror = target.mirror()
                keep.append(mirror)
                target_at = ctypes.addressof(mirror)
            if rooms:
                rooms_at = _address_of_array(rooms, keep)
            op_flags = flags if kind == _ffi.OP_DISCONNECT else 0
            emission_at = at * _EMISSION_SIZE
            _OP.pack_into(to_ops, at * _OP_SIZE + _OP_AT, kind, socket, token, first_emission + emission_at, target_at, rooms_at,
                          len(rooms), op_flags)  # fmt: skip
            _EMISSION.pack_into(to_emissions, emission_at + _EMISSION_AT, flags, name, 0, name_at, name_len,
                                address, len(data), parts_at, len(attachments))  # fmt: skip
            address += len(data)
        results = slots.results
        if lib.sockeye_submit(self._handle, ctypes.addressof(to_ops), _OP_SIZE, len(ops), ctypes.addressof(results)):
            for op, result in zip(ops, results):
                if result < 0 and result not in _LEFT:
                    log.warning("an operation on %r failed: %s", self._names.get(op[3]) or op[3] or op[8], _ffi.error_name(result))

    # ---- operations, one at a time ------------------------------------------------------------------------------------------------

    def ask(self, socket: int, target: Optional[Target], name: str, data: bytes, attachments: Sequence[bytes],
            timeout_ms: int, flags: int = 0) -> int:  # fmt: skip
        """Emits to a socket, or a target, with an acknowledgement; the token of the ACK events that will come."""
        keep: list[Any] = []
        emission = emission_of(name, data, attachments, keep)
        emission.flags, emission.timeout_ms = flags | _ffi.EXPECT_ACK, timeout_ms
        token = ctypes.c_uint64()
        with self._lock:
            self.flush()
            if target is None:
                self._call(lib.sockeye_emit, socket, ctypes.byref(emission), ctypes.byref(token))
            else:
                mirror = target.mirror()
                self._call(lib.sockeye_broadcast, ctypes.byref(mirror), ctypes.byref(emission), ctypes.byref(token))
        return token.value

    def namespace(self, name: str, pattern: bool = False) -> int:
        """Makes a namespace whose CONNECTs wait for the host, or, as a pattern, all that have no namespace of their own."""
        options = _ffi.NspOptions(size=ctypes.sizeof(_ffi.NspOptions), flags=_ffi.NSP_AUTHORIZE)
        number = ctypes.c_uint32()
        if pattern:
            self._call(lib.sockeye_namespace_pattern, None, 0, ctypes.byref(options), ctypes.byref(number))
        else:
            text = name.encode()
            self._call(lib.sockeye_namespace, text, len(text), ctypes.byref(options), ctypes.byref(number))
        return number.value

    def namespace_name(self, nsp: int) -> str:
        """The name of a namespace."""
        return self._text(lib.sockeye_namespace_name, nsp)

    def accept(self, token: int) -> None:
        """Lets a socket in. EngineError with STALE if it left."""
        self._call(lib.sockeye_accept, token, 0, None, 0)

    def reject(self, token: int, message: str, data: Optional[bytes]) -> None:
        """Refuses a socket."""
        text = message.encode("utf-8", "replace")
        self._call(lib.sockeye_reject, token, text, len(text), data, len(data or b""))

    def info(self, socket: int) -> _ffi.SocketInfo:
        """What a socket is now."""
        info = _ffi.SocketInfo()
        self._call(lib.sockeye_socket_get_info, socket, ctypes.byref(info), ctypes.sizeof(info))
        return info

    def _text(self, function: Any, *args: Any) -> str:
        buffer = ctypes.c_void_p()
        self._call(function, *args, ctypes.byref(buffer))
        return _ffi.take_buffer(buffer)

    def handshake(self, socket: int) -> str:
        """The handshake as the engine tells it, as JSON."""
        return self._text(lib.sockeye_socket_handshake, socket)

    def rooms(self, socket: int) -> list[str]:
        """The rooms that a socket is in, after the operations that wait."""
        self.flush()
        return list(json.loads(self._text(lib.sockeye_socket_rooms, socket)))

    def namespace_rooms(self, nsp: int) -> list[str]:
        """The rooms of a namespace, after the operations that wait."""
        self.flush()
        return list(json.loads(self._text(lib.sockeye_namespace_rooms, nsp)))

    def set_data(self, socket: int, data: bytes) -> None:
        """Sets a socket's data."""
        self._call(lib.sockeye_socket_set_data, socket, data, len(data))

    def fetch(self, target: Target) -> int:
        """The token of the SOCKETS event that lists the target."""
        self.flush()
        token, mirror = ctypes.c_uint64(), target.mirror()
        self._call(lib.sockeye_sockets_fetch, ctypes.byref(mirror), ctypes.byref(token))
        return token.value

    def server_emit(self, nsp: int, name: str, data: bytes, attachments: Sequence[bytes], wants_replies: bool) -> int:
        """Emits to the other servers; the token of the SERVER_ACK events with their replies, if they are wanted."""
        self.flush()
        keep: list[Any] = []
        emission, token = emission_of(name, data, attachments, keep), ctypes.c_uint64()
        if wants_replies:
            emission.flags = _ffi.EXPECT_ACK
        self._call(lib.sockeye_server_emit, nsp, ctypes.byref(emission), ctypes.byref(token))
        return token.value

    def server_count(self, nsp: int) -> int:
        """The token of the SERVER_ACK event that counts the servers."""
        token = ctypes.c_uint64()
        self._call(lib.sockeye_server_count, nsp, ctypes.byref(token))
        return token.value

    def move(self, target: Target, rooms: Sequence[bytes], join: bool) -> None:
        """Puts a target into rooms, or takes it out."""
        self.flush()
        mirror, array = target.mirror(), _ffi.bytes_array(rooms)
        self._call(lib.sockeye_sockets_join if join else lib.sockeye_sockets_leave, ctypes.byref(mirror), array, len(rooms))

    def disconnect_all(self, target: Target, close: bool) -> None:
        """Disconnects a target."""
        self.flush()
        mirror = target.mirror()
        self._call(lib.sockeye_sockets_disconnect, ctypes.byref(mirror), _ffi.CLOSE_TRANSPORT if close else 0)

    def respond(self, token: int, status: int, headers: Sequence[tuple[Any, ...]], body: bytes) -> None:
        """Answers a request of an HTTP event; `headers` are pairs of bytes."""
        array = (_ffi.Header * len(headers))()
        for slot, (name, value) in zip(array, headers):
            slot.name, slot.name_len, slot.value, slot.value_len = name, len(name), value, len(value)
        self._call(lib.sockeye_http_respond, token, status, array, len(headers), body, len(body))

    def metrics(self) -> dict[str, Any]:
        """The engine's metrics by their names in the C API."""
        metrics = _ffi.Metrics(size=ctypes.sizeof(_ffi.Metrics))
        self._call(lib.sockeye_engine_metrics, ctypes.byref(metrics))
        values = ((name, getattr(metrics, name)) for name, *_ in metrics._fields_[2:])
        return {name: value if isinstance(value, int) else list(value) for name, value in values}

    def metrics_text(self) -> str:
        """The same in Prometheus' text format."""
        return self._text(lib.sockeye_engine_metrics_text)


def emission_of(name: str, data: bytes, attachments: Sequence[bytes], keep: list[Any]) -> _ffi.Emission:
    """The struct of an event; what it points to is appended to `keep`."""
    emission = _ffi.Emission(size=_EMISSION_SIZE)
    emission.name_ptr, emission.name_len = _address(name.encode(), keep)
    emission.data, emission.data_len = _address(data, keep)
    if attachments:
        emission.attachments, emission.attachment_count = _address_of_array(attachments, keep), len(attachments)
    return emission


def _read(text: memoryview, kind: int, loads: Any) -> Any:
    if not len(text):
        return None
    own = loads if loads is not None and kind in (_ffi.EVENT_MESSAGE, _ffi.EVENT_ACK) else json.loads
    return own(str(text, "utf-8"))


def _attachments(view: memoryview, at: int, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(view, at)
        at += _LENGTH.size
        found.append(bytes(view[at : at + length]))
        at += length
    return found


def _address(text: bytes, keep: list[Any]) -> tuple[Any, ...]:
    keep.append(text)
    return ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p).value, len(text)


def _address_of_array(items: Sequence[bytes], keep: list[Any]) -> int:
    array = _ffi.bytes_array(items)
    keep.append(array)
    return ctypes.addressof(array)


# Not a WeakSet, which threads cannot change while it is looked through.
_engines: "set[weakref.ref[Engine]]" = set()


def _all() -> list[Engine]:
    return [engine for engine in [reference() for reference in list(_engines)] if engine is not None]


@atexit.register
def _free_all() -> None:
    for engine in _all():
        engine.free()


def _forget_all() -> None:
    for engine in _all():
        engine.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
