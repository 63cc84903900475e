"""Socket.IO servers on the sockeye engine, with the API of python-socketio.

`AsyncServer` is for asyncio, `Server` for threads. The engine reads, parses, times and writes in threads of its own that never run
Python; what is left here is to run handlers.
"""

from typing import TYPE_CHECKING, Any

# Checks at once whether the library is there and fits.
from . import _ffi as _ffi
from . import exceptions
from .exceptions import ConnectionRefusedError

if TYPE_CHECKING:
    from ._base import FetchedSocket
    from .async_server import AsyncServer
    from .emitter import Emitter
    from .managers import AsyncRedisManager, RedisManager
    from .namespace import AsyncNamespace, Namespace
    from .server import Server

__version__ = "0.1.0"

__all__ = ["AsyncNamespace", "AsyncRedisManager", "AsyncServer", "ConnectionRefusedError", "Emitter", "FetchedSocket", "Namespace", "RedisManager",
           "Server", "exceptions"]  # fmt: skip

# Loaded when they are asked for: a program needs one of the servers, and only one of them needs asyncio.
_MODULES = {
    "AsyncNamespace": "namespace",
    "AsyncRedisManager": "managers",
    "AsyncServer": "async_server",
    "Emitter": "emitter",
    "FetchedSocket": "_base",
    "Namespace": "namespace",
    "RedisManager": "managers",
    "Server": "server",
}
# What python-socketio has by these names, and what is to be done here.
_INSTEAD = {
    "ASGIApp": "give the application to AsyncServer: sio.run(host, port, app=app, static_files=files)",
    "WSGIApp": "give the application to Server: sio.run(host, port, app=app, static_files=files)",
    "Middleware": "give the application to Server: sio.run(host, port, app=app)",
    "Client": "clients are python-socketio's own",
    "AsyncClient": "clients are python-socketio's own",
    "SimpleClient": "clients are python-socketio's own",
    "AsyncSimpleClient": "clients are python-socketio's own",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        return value
    hint = f": {_INSTEAD[name]}" if name in _INSTEAD else ""
    raise AttributeError(f"sockeye_io has no {name}{hint}")


def __dir__() -> list[Any]:
    return sorted({*globals(), *__all__})
