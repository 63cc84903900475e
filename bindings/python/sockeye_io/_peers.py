"""The other servers of a cluster: what they say, what they are asked, and clients that are theirs."""

from __future__ import annotations

from typing import Any, Callable, Optional

from . import _ffi
from ._base import Asked, BaseServer, Client, unwrapped
from ._codec import arguments
from ._engine import Event, Target
from ._registry import Route, arity_of, is_async
from .exceptions import DisconnectedError, TimeoutError


class Peers(BaseServer):
    """Events between servers. What runs a handler is the subclasses' part, `_begin`."""

    _begin: Callable[..., None]
    _answer: Callable[..., None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._server_routes: dict[tuple[str, str], Route] = {}
        # With `async_handlers=False` their events wait for each other, as a client's do.
        self._others = Client(0, "", 0, "")

    def on_server_event(self, event: str, handler: Optional[Callable[..., Any]] = None, namespace: Optional[str] = None) -> Callable[..., Any]:
        """Registers a handler for an event that other servers send with `server_side_emit`, as a decorator or with `handler`.

        It is given the event's arguments. What it returns answers a `server_side_call`: of several values the first.
        """

        def register(handler: Callable[..., Any]) -> Callable[..., Any]:
            self._server_routes[namespace or "/", event] = Route(handler, (), is_async(handler), arity_of(handler))
            self._registered(namespace or "/", "*")
            return handler

        return register if handler is None else register(handler)

    def _on_server_message(self, event: Event) -> None:
        route = self._server_routes.get((self._nsps.get(event.nsp, ""), event.name))
        if route is not None:
            self._begin(route, tuple(event.data), self._answer, event.token, event.name, self._others)

    def _on_server_ack(self, event: Event) -> None:
        if event.flags & _ffi.PARTIAL:
            asked = self._asked.get(event.token)
            if asked is not None:
                asked.replies.append(unwrapped(event.data))
            return
        asked = self._asked.pop(event.token, None)
        if asked is None or asked.future.done():
            return
        if event.status == _ffi.OK:
            asked.future.set_result(event.data.get("count", asked.replies))
        elif event.status == _ffi.ERR_TIMEOUT:
            text = "{received} of {expected} servers have answered in time".format(**{"received": 0, "expected": "all", **event.data})
            asked.future.set_exception(TimeoutError(text, asked.replies))
        else:
            asked.future.set_exception(DisconnectedError("the server was shut down"))

    def _server_emit(self, event: str, data: Any, namespace: Optional[str], future: Any = None) -> None:
        """Emits to the other servers; their replies go to `future`, if there is one."""
        payload, attachments = self._encode(arguments(data))
        with self._books:
            token = self._running().server_emit(self._nsp(namespace), event, payload, attachments, future is not None)
            if future is not None:
                self._asked[token] = Asked(True, future)

    def _count_servers(self, namespace: Optional[str], future: Any) -> None:
        with self._books:
            token = self._running().server_count(self._nsp(namespace))
            self._asked[token] = Asked(True, future)

    def _elsewhere(self, sid: str, namespace: Optional[str]) -> Optional[Target]:
        """The client of another server, perhaps, that a sid names which is not known here."""
        if self._adapter is None or sid in self._sids:
            return None
        target = self._target(sid, namespace=namespace)
        return target if target.nsp else None


def only_reply(replies: list[Any]) -> Any:
    """Of `call` on a client elsewhere."""
    if not replies:
        raise DisconnectedError("there is no such client")
    return replies[0]
