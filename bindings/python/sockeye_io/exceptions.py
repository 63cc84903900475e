"""What the package raises."""

from __future__ import annotations

from typing import Any, Iterable


class SocketIOError(Exception):
    """Base of all."""


class ConnectionError(SocketIOError):
    """A connection could not be made."""


class ConnectionRefusedError(ConnectionError):
    """Raise it in a `connect` handler to refuse the client, with a message and any data for it.

    The client gets the first argument as the message of its `connect_error`, and what follows as its `data`: one value as it is,
    several as a list.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.message = str(args[0]) if args else "Connection rejected by server"
        self.data = args[1] if len(args) == 2 else list(args[1:]) or None

    @property
    def error_args(self) -> dict[str, Any]:
        """What the client is sent."""
        return {"message": self.message} if self.data is None else {"message": self.message, "data": self.data}


class TimeoutError(SocketIOError):
    """An acknowledgement did not come in time. `replies` has those that came, if several clients were asked."""

    def __init__(self, message: str = "", replies: Iterable[Any] = ()) -> None:
        super().__init__(message)
        self.replies = list(replies)


class BadNamespaceError(SocketIOError):
    """A namespace that does not exist was named."""


class DisconnectedError(SocketIOError):
    """The client left before it answered."""


class UnknownClientError(KeyError, ValueError):
    """There is no such client, or not in that namespace."""


class EngineError(SocketIOError):
    """The engine refused a call. `code` is the `SOCKEYE_ERR_*` number, `name` its name."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.code = code
        self.name = name
