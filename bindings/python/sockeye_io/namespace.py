"""Classes of handlers: a method `on_<event>` for each event of one namespace."""

from __future__ import annotations

from typing import Any, Optional

from ._registry import RESERVED, arity_of


def _fitting(handler: Any, event: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Handlers of `connect` may leave out `auth`, those of `disconnect` the reason."""
    arity = arity_of(handler)
    return args[: int(arity)] if event in RESERVED and arity < len(args) else args


def _forward(name: str, place: int) -> Any:
    """The server's method of this name, in this namespace unless another is named; `place` is that argument's."""

    def method(self: BaseNamespace, *args: Any, **kwargs: Any) -> Any:
        if len(args) <= place and kwargs.get("namespace") is None:
            kwargs["namespace"] = None if self.namespace == "*" else self.namespace
        return getattr(self.server, name)(*args, **kwargs)

    method.__name__ = name
    method.__qualname__ = f"BaseNamespace.{name}"
    method.__doc__ = f"The server's `{name}`, in this namespace."
    return method


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

    emit = _forward("emit", 5)
    send = _forward("send", 4)
    call = _forward("call", 4)
    call_all = _forward("call_all", 5)
    enter_room = _forward("enter_room", 2)
    leave_room = _forward("leave_room", 2)
    close_room = _forward("close_room", 1)
    rooms = _forward("rooms", 1)
    get_session = _forward("get_session", 1)
    save_session = _forward("save_session", 2)
    session = _forward("session", 1)
    disconnect = _forward("disconnect", 1)
    fetch_sockets = _forward("fetch_sockets", 1)
    sockets_join = _forward("sockets_join", 2)
    sockets_leave = _forward("sockets_leave", 2)
    disconnect_sockets = _forward("disconnect_sockets", 1)
    server_side_emit = _forward("server_side_emit", 2)
    server_side_call = _forward("server_side_call", 2)
    server_count = _forward("server_count", 0)


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
        # An awaitable, by the test that `await` makes of it.
        return await result if hasattr(result, "__await__") else result
