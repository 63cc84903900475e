"""An ASGI application behind the engine: it answers the requests that are not on the engine's path.

Its whole answer goes out at once, when it is complete; so it is not for streams without end. WebSockets of its own it has none: only the
engine's requests come here that are HTTP.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Any, Callable, Optional
from urllib.parse import unquote

from ._answers import FAILED, NOT_FOUND, Answer, respond
from ._engine import Engine, Event
from ._files import StaticFiles

log = logging.getLogger("sockeye_io")


def _headers(headers: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    pairs = []
    for name, value in headers.items():
        for one in value if isinstance(value, list) else [value]:
            pairs.append((name.lower().encode("latin-1"), str(one).encode("latin-1", "replace")))
    return pairs


def scope_of(event: Event) -> dict[str, Any]:
    """The connection scope of a request."""
    path, _, query = event.name.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": event.data["method"],
        "scheme": "https" if event.data.get("secure") else "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": _headers(event.data["headers"]),
        "client": (event.data.get("address", ""), 0),
        "server": None,
    }


class _Request:
    """One request: what the application receives and sends. `respond` is called once, with the whole answer."""

    def __init__(self, body: bytes, respond: Callable[[Answer], None]):
        self._body: Optional[bytes] = body
        self._respond = respond
        self._answered = asyncio.Event()
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []

    @property
    def is_answered(self) -> bool:
        """Whether the answer is out."""
        return self._answered.is_set()

    async def receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        # Who asks again wants to know when the client is gone; that it is answered, or waits no more, is all that is known here.
        await self._answered.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        elif message["type"] == "http.response.body" and self._status and not self.is_answered:
            self._parts.append(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                # Now, and not when the application returns: it may go on with what it does after the answer.
                self.answer(Answer(self._status, self._headers, b"".join(self._parts)))

    def answer(self, answer: Answer) -> None:
        """Answers, if that was not done."""
        if not self.is_answered:
            self._answered.set()
            self._parts = []
            self._respond(answer)


class AsgiHost:
    """Answers HTTP events: from files first, else by the application, else with 404."""

    def __init__(self, app: Any, files: StaticFiles, engine: Engine, runner: Any, patience_s: float):
        self._app = app
        # How long the engine waits for an answer.
        self._patience_s = patience_s
        self._files = files
        self._engine = engine
        self._runner = runner
        self._lifespan: Optional[asyncio.Task[Any]] = None
        # What the application keeps at its start for its requests.
        self._state: dict[str, Any] = {}
        self._to_app: "asyncio.Queue[dict[str, Any]]" = asyncio.Queue()
        self._started: Optional[asyncio.Future[Any]] = None
        self._stopped: Optional[asyncio.Future[Any]] = None

    def handle(self, event: Event) -> None:
        """Answers one, now or later."""
        answer = self._files.find(event.data["method"], event.name)
        if answer is None and self._app is not None:
            self._runner.spawn(self._ask(event))
            return
        respond(self._engine, event.token, answer or NOT_FOUND)

    async def _ask(self, event: Event) -> None:
        request = _Request(event.attachments[0] if event.attachments else b"", functools.partial(respond, self._engine, event.token))
        # An answer without an end would be kept for nobody.
        end = asyncio.get_running_loop().call_later(self._patience_s, self._end, request, event.name)
        try:
            await self._app({**scope_of(event), "state": self._state.copy()}, request.receive, request.send)
        except Exception:
            log.exception("the application failed at %s", event.name)
        end.cancel()
        self._end(request, event.name)

    def _end(self, request: _Request, name: str) -> None:
        if not request.is_answered:
            log.error("the application gave no whole answer to %s", name)
            request.answer(FAILED)

    # ---- lifespan -----------------------------------------------------------------------------------------------------------------

    async def startup(self) -> None:
        """Tells the application that it starts; one that knows nothing of this is left in peace, one that fails is an error."""
        if self._app is None:
            return
        loop = asyncio.get_running_loop()
        self._started, self._stopped = loop.create_future(), loop.create_future()
        self._lifespan = asyncio.ensure_future(self._live())
        self._to_app.put_nowait({"type": "lifespan.startup"})
        failure = await self._started
        if failure is not None:
            raise RuntimeError(f"the application did not start: {failure}")

    async def _live(self) -> None:
        assert self._started is not None and self._stopped is not None
        try:
            await self._app({"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}, self._to_app.get, self._heard)
        except Exception as error:
            # So says the specification: an application without lifespan raises.
            log.debug("the application has no lifespan: %s", error)
        for future in (self._started, self._stopped):
            if not future.done():
                future.set_result(None)

    async def _heard(self, message: dict[str, Any]) -> None:
        future = self._started if message["type"].startswith("lifespan.startup") else self._stopped
        if future is not None and not future.done():
            future.set_result(message.get("message", "") if message["type"].endswith(".failed") else None)

    async def shutdown(self) -> None:
        """Tells the application that it ends, and waits for it."""
        if self._lifespan is None or self._stopped is None:
            return
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped
        self._lifespan.cancel()
        await asyncio.gather(self._lifespan, return_exceptions=True)
