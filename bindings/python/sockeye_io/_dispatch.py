"""What becomes of an engine's events: which handler each is for, and what its result means. Both servers share it."""

from __future__ import annotations

import collections
import logging
from typing import Any, Callable, Optional, Sequence

from . import _ffi
from ._base import Client, NotHandled
from ._engine import Event
from ._peers import Peers
from ._registry import Route
from .exceptions import ConnectionRefusedError as Refusal
from .exceptions import EngineError


class Dispatcher(Peers):
    """Events to handlers. What runs a handler is the subclasses' part: `_begin`."""

    # An AsgiHost or a WsgiHost, if other requests are to be answered.
    _http: Any = None

    def _begin(self, route: Route, args: tuple[Any, ...], done: Callable[..., Any], a: Any, b: Any, client: Client) -> None:
        """Runs `route.handler(*args)` soon, then `done(result or exception, a, b)`."""
        raise NotImplementedError

    def _take(self, events: Sequence[Event]) -> None:
        """Handles what `Engine.poll` gave. What fails costs its event and no other."""
        for event in events:
            try:
                if event.kind == _ffi.EVENT_MESSAGE:
                    self._on_message(event)
                else:
                    self._on_event(event)
            except Exception:
                self.logger.exception("an event of kind %s was lost", event.kind)

    def _on_message(self, event: Event) -> None:
        client = self._clients.get(event.socket)
        if client is None or event.name in ("connect", "disconnect"):
            return
        route = self._route(client.namespace, event.name)
        if route is not None:
            self._begin(route, (*route.prefix, client.sid, *event.data), self._answer, event.token, event.name, client)

    def _on_event(self, event: Event) -> None:
        if event.kind == _ffi.EVENT_ACK:
            self._on_ack(event)
        elif event.kind == _ffi.EVENT_CONNECT:
            self._on_joined(event)
        elif event.kind == _ffi.EVENT_AUTHORIZE:
            self._on_connect(event)
        elif event.kind == _ffi.EVENT_DISCONNECTING:
            client = self._clients.get(event.socket)
            if client is not None:
                client.rooms = event.data.get("rooms", [])
        elif event.kind == _ffi.EVENT_DISCONNECT:
            self._on_disconnect(event)
        elif event.kind == _ffi.EVENT_NAMESPACE:
            self._learn(event.nsp, event.name)
        elif event.kind == _ffi.EVENT_NAMESPACE_GONE:
            self._unlearn(event.nsp, event.name)
        elif event.kind == _ffi.EVENT_SOCKETS:
            self._on_sockets(event)
        elif event.kind == _ffi.EVENT_SERVER_MESSAGE:
            self._on_server_message(event)
        elif event.kind == _ffi.EVENT_SERVER_ACK:
            self._on_server_ack(event)
        elif event.kind == _ffi.EVENT_ADAPTER_DOWN:
            self.logger.error("the broker of the cluster is lost: %s", event.data.get("reason"))
        elif event.kind == _ffi.EVENT_ADAPTER_UP:
            self.logger.info("the broker of the cluster is reached")
        elif event.kind == _ffi.EVENT_HTTP and self._http is not None:
            self._http.handle(event)
        elif event.kind in (_ffi.EVENT_FAULT, _ffi.EVENT_LISTEN_ERROR):
            self.logger.log(logging.ERROR, "the engine reports: %s", event.name)

    def _on_connect(self, event: Event) -> None:
        client = self._admit(event)
        if client is None:
            return
        if not self._accepts(client.namespace):
            self._decide(client, event.token, False)
            return
        route = self._route(client.namespace, "connect")
        try:
            if self.always_connect:
                self._running().accept(event.token)
            args = () if route is None else tuple(self._connect_args(route, client, event.data))
        except EngineError:
            # It has left.
            self._forget(client)
            return
        if route is None:
            self._decide(client, event.token, None)
            return
        self._begin(route, args, self._decided, client, event.token, client)

    def _decided(self, result: Any, client: Client, token: int) -> None:
        if not isinstance(result, (Refusal, ConnectionRefusedError)):
            self._report(result, "the handler of 'connect'")
        if self.always_connect and (isinstance(result, BaseException) or result is False):
            self._add_disconnect(client)
        else:
            self._decide(client, token, result)

    def _on_disconnect(self, event: Event) -> None:
        client = self._clients.get(event.socket)
        if client is None:
            return
        route = self._route(client.namespace, "disconnect")
        if route is None:
            self._forget(client)
        else:
            self._begin(route, tuple(self._disconnect_args(route, client, event)), self._left, client, None, client)

    def _left(self, result: Any, client: Client, _: Any) -> None:
        self._report(result, "the handler of 'disconnect'")
        self._forget(client)

    def _answer(self, result: Any, token: int, name: str) -> None:
        if isinstance(result, BaseException):
            self._report(result, f"the handler of {name!r}")
        elif token and result is not NotHandled:
            try:
                self._add_ack(token, result)
            except Exception as error:
                self._report(error, f"the acknowledgement of {name!r}")

    def _report(self, result: Any, what: str) -> None:
        """Logs an exception. Being cancelled is none, and neither is any other result."""
        if isinstance(result, Exception):
            self.logger.error("%s failed", what, exc_info=(type(result), result, result.__traceback__))

    def _queue_up(self, client: Client, job: tuple[Any, ...]) -> bool:
        """With `async_handlers=False` a client's events wait for each other. True if nothing runs for the client: then the job is to be run."""
        with self._books:
            if client.jobs is not None:
                client.jobs.append(job)
                return False
            client.jobs = collections.deque()
        return True

    def _next_job(self, client: Client) -> Optional[tuple[Any, ...]]:
        """What the client's events that wait begin with."""
        with self._books:
            job: Optional[tuple[Any, ...]] = client.jobs.popleft() if client.jobs else None
            if job is None:
                client.jobs = None
        return job
