"""The C ABI as ctypes sees it: the library, its structs mirrored, and its functions declared.

Whether the mirror fits the library that was found is checked when this module is imported. Calls that cannot block are made
without giving up the interpreter's lock (no thread of the engine ever waits for it); those that may wait release it.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_size_t, c_ssize_t, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any, Sequence

from .exceptions import EngineError

ABI = 1

OK = 0
ERR_INVALID, ERR_STALE, ERR_GONE, ERR_CLOSED, ERR_TOO_BIG, ERR_TIMEOUT, ERR_FORKED = -1, -2, -3, -4, -6, -7, -16

EVENT_AUTHORIZE, EVENT_CONNECT, EVENT_MESSAGE, EVENT_ACK = 3, 4, 5, 6
EVENT_DISCONNECTING, EVENT_DISCONNECT = 7, 8
EVENT_SERVER_MESSAGE, EVENT_SERVER_ACK, EVENT_ADAPTER_DOWN, EVENT_ADAPTER_UP = 10, 11, 24, 25
EVENT_SOCKETS, EVENT_FAULT, EVENT_LISTEN_ERROR, EVENT_CLOSED, EVENT_NAMESPACE, EVENT_HTTP = 12, 15, 16, 17, 19, 22
EVENT_NAMESPACE_GONE = 26
PARTIAL = 1

NSP_AUTHORIZE = 1
VOLATILE, LOCAL, EXPECT_ACK, TRUST_JSON = 1, 4, 8, 16
OP_EMIT, OP_BROADCAST, OP_ACK, OP_JOIN, OP_LEAVE, OP_DISCONNECT = 1, 2, 3, 4, 5, 6
CLOSE_TRANSPORT, CLOSE_SILENT = 1, 2
TRANSPORT_WEBSOCKET = 2
PACK_JOINED = 1


class Bytes(ctypes.Structure):
    """`sockeye_bytes`."""

    _fields_ = [("ptr", c_char_p), ("len", c_size_t)]


class NspOptions(ctypes.Structure):
    """`sockeye_nsp_options`."""

    _fields_ = [("size", c_uint32), ("flags", c_uint32), ("queue", c_void_p)]


class Emission(ctypes.Structure):
    """`sockeye_emission`; pointers are numbers, so that many can be packed at once."""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("name", c_uint32),
        ("timeout_ms", c_uint32),
        ("name_ptr", c_void_p),
        ("name_len", c_size_t),
        ("data", c_void_p),
        ("data_len", c_size_t),
        ("attachments", c_void_p),
        ("attachment_count", c_size_t),
        ("prepared", c_void_p),
        ("ttl_ms", c_uint32),
        ("reserved", c_uint32),
        ("key", c_void_p),
        ("key_len", c_size_t),
    ]


class Target(ctypes.Structure):
    """`sockeye_target`."""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("nsp", c_uint32),
        ("reserved", c_uint32),
        ("from_", c_uint64),
        ("rooms", POINTER(Bytes)),
        ("room_count", c_size_t),
        ("except_", POINTER(Bytes)),
        ("except_count", c_size_t),
    ]


class Op(ctypes.Structure):
    """`sockeye_op`."""

    _fields_ = [
        ("size", c_uint32),
        ("kind", c_uint32),
        ("socket", c_uint64),
        ("token", c_uint64),
        ("emission", c_void_p),
        ("target", c_void_p),
        ("rooms", c_void_p),
        ("room_count", c_size_t),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    ]


class SocketInfo(ctypes.Structure):
    """`sockeye_socket_info`."""

    _fields_ = [
        ("size", c_uint32),
        ("nsp", c_uint32),
        ("transport", c_uint32),
        ("protocol", c_uint32),
        ("connected", c_uint32),
        ("room_count", c_uint32),
        ("user", c_uint64),
        ("buffered_bytes", c_uint64),
        ("id", ctypes.c_char * 24),
        ("buffered_packets", c_uint64),
    ]


class Header(ctypes.Structure):
    """`sockeye_header`."""

    _fields_ = [("name", c_char_p), ("name_len", c_size_t), ("value", c_char_p), ("value_len", c_size_t)]


_HISTOGRAM = c_uint64 * 16


def _counters(names: str) -> list[Any]:
    return [(name, c_uint64) for name in names.split()]


class Metrics(ctypes.Structure):
    """`sockeye_metrics`."""

    _fields_ = [
        ("size", c_uint32),
        ("reserved", c_uint32),
        *_counters(
            "time_us connections sessions_polling sessions_websocket sockets namespaces rooms acks_awaited acks_owed"
            " queue_events queue_bytes outbound_bytes input_bytes spare_bytes connections_opened handshakes_polling"
            " handshakes_websocket upgrades connects_accepted connects_refused packets_in packets_out bytes_in bytes_out"
            " acks_timed_out queue_stalls"
        ),
        ("errors", c_uint64 * 6),
        ("http_answers", c_uint64 * 6),
        ("disconnects", c_uint64 * 10),
        ("round_trips", _HISTOGRAM),
        ("round_trips_us", c_uint64),
        ("loop_lag", _HISTOGRAM),
        ("loop_lag_us", c_uint64),
        ("loop_turns", _HISTOGRAM),
        ("loop_turns_us", c_uint64),
        *_counters(
            "loop_turn_max_us dropped_newest dropped_oldest dropped_conflated dropped_expired dropped_volatile"
            " outbound_overflows connections_refused connections_refused_by_address handshakes_evicted handshakes_throttled"
            " handshakes_uncounted origins_refused upgrades_refused connection_errors_untold rate_delays rate_disconnects"
            " namespaces_refused ack_requests_skipped request_timeouts log_lines_left_out log_lines_dropped"
            " adapter_unsent adapter_unconfirmed adapter_malformed adapter_stray adapter_timeouts adapter_downs"
        ),
    ]


# Structs that may be longer in a newer library of the same ABI: it then takes what is missing for defaults.
_MAY_GROW = {3: Emission, 4: Target, 5: Op, 6: SocketInfo, 8: NspOptions, 11: Metrics}
# Those that are read at fixed distances.
_EXACT = {9: 64, 17: ctypes.sizeof(Header)}

_FUNCTIONS = {
    "sockeye_abi": (c_uint32, []),
    "sockeye_struct_size": (c_size_t, [c_uint32]),
    "sockeye_error_name": (c_char_p, [c_int32]),
    "sockeye_last_error": (c_char_p, []),
    "sockeye_engine_new_json": (c_int32, [c_char_p, c_size_t, POINTER(c_void_p)]),
    "sockeye_engine_mount": (c_int32, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t]),
    "sockeye_engine_listen": (c_int32, [c_void_p, c_char_p, c_size_t, POINTER(c_uint16)]),
    "sockeye_engine_queue": (c_void_p, [c_void_p]),
    "sockeye_engine_close": (c_int32, [c_void_p, c_uint32]),
    "sockeye_engine_metrics": (c_int32, [c_void_p, POINTER(Metrics)]),
    "sockeye_engine_metrics_text": (c_int32, [c_void_p, POINTER(c_void_p)]),
    "sockeye_queue_fd": (c_int32, [c_void_p, POINTER(c_ssize_t)]),
    "sockeye_buffer_data": (c_void_p, [c_void_p, POINTER(c_size_t)]),
    "sockeye_buffer_free": (None, [c_void_p]),
    "sockeye_atom_of": (c_int32, [c_void_p, c_char_p, c_size_t, POINTER(c_uint32)]),
    "sockeye_namespace": (c_int32, [c_void_p, c_char_p, c_size_t, POINTER(NspOptions), POINTER(c_uint32)]),
    "sockeye_namespace_pattern": (c_int32, [c_void_p, c_char_p, c_size_t, POINTER(NspOptions), POINTER(c_uint32)]),
    "sockeye_namespace_name": (c_int32, [c_void_p, c_uint32, POINTER(c_void_p)]),
    "sockeye_namespace_rooms": (c_int32, [c_void_p, c_uint32, POINTER(c_void_p)]),
    "sockeye_accept": (c_int32, [c_void_p, c_uint64, c_uint64, c_char_p, c_size_t]),
    "sockeye_reject": (c_int32, [c_void_p, c_uint64, c_char_p, c_size_t, c_char_p, c_size_t]),
    "sockeye_socket_get_info": (c_int32, [c_void_p, c_uint64, POINTER(SocketInfo), c_uint32]),
    "sockeye_socket_handshake": (c_int32, [c_void_p, c_uint64, POINTER(c_void_p)]),
    "sockeye_socket_set_data": (c_int32, [c_void_p, c_uint64, c_char_p, c_size_t]),
    "sockeye_socket_rooms": (c_int32, [c_void_p, c_uint64, POINTER(c_void_p)]),
    "sockeye_emit": (c_int32, [c_void_p, c_uint64, POINTER(Emission), POINTER(c_uint64)]),
    "sockeye_broadcast": (c_int32, [c_void_p, POINTER(Target), POINTER(Emission), POINTER(c_uint64)]),
    "sockeye_submit": (c_int32, [c_void_p, c_void_p, c_size_t, c_size_t, c_void_p]),
    "sockeye_sockets_join": (c_int32, [c_void_p, POINTER(Target), POINTER(Bytes), c_size_t]),
    "sockeye_sockets_leave": (c_int32, [c_void_p, POINTER(Target), POINTER(Bytes), c_size_t]),
    "sockeye_sockets_disconnect": (c_int32, [c_void_p, POINTER(Target), c_uint32]),
    "sockeye_sockets_fetch": (c_int32, [c_void_p, POINTER(Target), POINTER(c_uint64)]),
    "sockeye_engine_set_adapter": (c_int32, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t]),
    "sockeye_server_emit": (c_int32, [c_void_p, c_uint32, POINTER(Emission), POINTER(c_uint64)]),
    "sockeye_server_count": (c_int32, [c_void_p, c_uint32, POINTER(c_uint64)]),
    "sockeye_http_respond": (c_int32, [c_void_p, c_uint64, c_uint32, POINTER(Header), c_size_t, c_char_p, c_size_t]),
}
# These may wait: for events, or for the engine's threads.
_WAITING = {
    "sockeye_queue_poll_packed": (c_int64, [c_void_p, c_void_p, c_size_t, POINTER(c_size_t), c_uint32, c_int32]),
    "sockeye_engine_free": (c_int32, [c_void_p]),
}


def _find() -> str:
    """The library: what `SOCKEYE_LIBRARY` names, else the one inside the package."""
    named = os.environ.get("SOCKEYE_LIBRARY")
    if named:
        return named
    packaged = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libsockeye.so")
    if os.path.exists(packaged):
        return packaged
    raise ImportError(f"{packaged} is missing: install the wheel, or let SOCKEYE_LIBRARY name the library")


def declare(library: ctypes.CDLL, functions: dict[str, Any]) -> None:
    """Tells ctypes the types of functions; ImportError if the library lacks one."""
    for name, (result, arguments) in functions.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(f"{library._name} has no {name}: it is older than this package") from None
        function.restype = result
        function.argtypes = arguments


def check_sizes(library: ctypes.CDLL, mirrors: dict[int, Any]) -> None:
    """Whether the library knows structs as long as these, by their numbers; ImportError if it does not."""
    for which, mirror in mirrors.items():
        size = library.sockeye_struct_size(which)
        if size < ctypes.sizeof(mirror):
            raise ImportError(f"{library._name} is too old: its {mirror.__doc__} has {size} bytes, not {ctypes.sizeof(mirror)}")


def _check(library: ctypes.CDLL) -> None:
    abi = library.sockeye_abi()
    if abi != ABI:
        raise ImportError(f"{library._name} has ABI {abi}, and this package is for ABI {ABI}")
    check_sizes(library, _MAY_GROW)
    for which, expected in _EXACT.items():
        size = library.sockeye_struct_size(which)
        if size != expected:
            raise ImportError(f"{library._name} does not fit: struct {which} has {size} bytes, not {expected}")


_path = _find()
#: The library for calls that cannot block.
lib = ctypes.PyDLL(_path)
#: The same for calls that may wait.
waiting = ctypes.CDLL(_path)
declare(lib, {**_FUNCTIONS, "sockeye_queue_poll_packed": _WAITING["sockeye_queue_poll_packed"]})
declare(waiting, _WAITING)
_check(lib)


def error_name(code: int) -> str:
    """`SOCKEYE_ERR_STALE` and the like."""
    return str(lib.sockeye_error_name(code), "ascii")


def check(result: int) -> int:
    """Gives a result back, or raises `EngineError` with the engine's words."""
    if result < 0:
        raise EngineError(result, error_name(result), lib.sockeye_last_error().decode("utf-8", "replace"))
    return result


def bytes_array(items: Sequence[bytes]) -> ctypes.Array[Bytes]:
    """An array of `sockeye_bytes`; it keeps the bytes alive."""
    array = (Bytes * len(items))()
    for slot, item in zip(array, items):
        slot.ptr = item
        slot.len = len(item)
    return array


def take_buffer(buffer: c_void_p) -> str:
    """The text of a `sockeye_buffer`, which is freed."""
    try:
        length = c_size_t()
        data = lib.sockeye_buffer_data(buffer, ctypes.byref(length))
        return ctypes.string_at(data, length.value).decode()
    finally:
        lib.sockeye_buffer_free(buffer)
