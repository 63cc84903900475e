"""Classes of handlers: a method `on_<event>` for each event of one namespace."""

from __future__ import annotations

import inspect
from typing import Any, Optional

from ._base import RESERVED, arity_of

_FORWARDED = (
    "emit", "send", "call", "call_all", "enter_room", "leave_room", "close_room", "rooms", "get_session", "save_session", "session",
    "disconnect", "fetch_sockets", "sockets_join", "sockets_leave", "disconnect_sockets",
)  # fmt: skip


def _fitting(handler: Any, event: str, args: tuple) -> tuple:
    """Handlers of `connect` may leave out `auth`, those of `disconnect` the reason."""
    arity = arity_of(handler)
    return args[: int(arity)] if event in RESERVED and arity < len(args) else args


class BaseNamespace:
    """What both kinds share. The methods of the server are here too, with this namespace for their `namespace`."""

    def __init__(self, namespace: Optional[str] = None):
        self.namespace = namespace or "/"
        self.server: Any = None

    def _set_server(self, server: Any) -> None:
        self.server = server

    @property
    def _overrides_trigger(self) -> bool:
        return type(self).trigger_event not in (Namespace.trigger_event, AsyncNamespace.trigger_event)

    def _handler(self, event: str) -> Any:
        return getattr(self, f"on_{event}", None)

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the handler of an event."""
        raise NotImplementedError

    def is_asyncio_based(self) -> bool:
        """Whether it is for `AsyncServer`."""
        return isinstance(self, AsyncNamespace)


def _forward(name: str) -> Any:
    def method(self: BaseNamespace, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("namespace") is None:
            kwargs["namespace"] = None if self.namespace == "*" else self.namespace
        return getattr(self.server, name)(*args, **kwargs)

    method.__name__ = name
    method.__qualname__ = f"BaseNamespace.{name}"
    method.__doc__ = f"The server's `{name}`, in this namespace."
    return method


for _name in _FORWARDED:
    setattr(BaseNamespace, _name, _forward(_name))


class Namespace(BaseNamespace):
    """Handlers of one namespace for `Server`: register an instance with `register_namespace`."""

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the handler of an event; to be overridden by who finds handlers in another way."""
        handler = self._handler(event)
        return self.server.not_handled if handler is None else handler(*_fitting(handler, event, args))


class AsyncNamespace(BaseNamespace):
    """Handlers of one namespace for `AsyncServer`; they may be coroutines or not."""

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the handler of an event; to be overridden by who finds handlers in another way."""
        handler = self._handler(event)
        if handler is None:
            return self.server.not_handled
        result = handler(*_fitting(handler, event, args))
        return await result if inspect.isawaitable(result) else result
