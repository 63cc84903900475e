"""Socket.IO servers on the sockeye engine, with the API of python-socketio.

`AsyncServer` is for asyncio, `Server` for threads. The engine reads, parses, times and writes in threads of its own that never run
Python; what is left here is to run handlers.
"""

from . import exceptions
from ._base import FetchedSocket
from .async_server import AsyncServer
from .exceptions import ConnectionRefusedError
from .namespace import AsyncNamespace, Namespace
from .server import Server

__version__ = "0.1.0"

__all__ = ["AsyncNamespace", "AsyncServer", "ConnectionRefusedError", "FetchedSocket", "Namespace", "Server", "exceptions"]
