"""A WSGI application behind the engine: it answers the requests that are not on the engine's path, each in a thread."""

from __future__ import annotations

import logging
import sys
from typing import Any, Callable

from ._engine import Engine, Event
from ._environ import environ_of
from ._files import NOT_FOUND, Answer, StaticFiles
from .exceptions import EngineError

log = logging.getLogger("sockeye_io")

_FAILED = Answer(500, [(b"content-type", b"text/plain")], b"Internal Server Error")


class WsgiHost:
    """Answers HTTP events: from files first, else by the application, else with 404. Answers are whole, not streams."""

    def __init__(self, app: Any, files: StaticFiles, engine: Engine, run: Callable[..., Any]):
        self._app = app
        self._files = files
        self._engine = engine
        self._run = run

    def handle(self, event: Event) -> None:
        """Answers one, later."""
        self._run(self._answer, event)

    def _answer(self, event: Event) -> None:
        answer = self._files.find(event.data["method"], event.name)
        if answer is None:
            answer = NOT_FOUND if self._app is None else self._ask(event)
        status, headers, body = answer
        ours = (b"content-length", b"date", b"connection", b"transfer-encoding")
        try:
            self._engine.respond(event.token, status, [pair for pair in headers if pair[0].lower() not in ours], body)
        except EngineError as error:
            log.debug("an answer came too late: %s", error)

    def _ask(self, event: Event) -> Answer:
        data, body = event.data, event.attachments[0] if event.attachments else b""
        environ = environ_of(data["method"], event.name, data["headers"], data.get("address", ""), bool(data.get("secure")), body)
        environ.setdefault("CONTENT_LENGTH", str(len(body)))
        environ["wsgi.errors"] = sys.stderr
        started: list[Any] = []
        parts: list[bytes] = []

        def start_response(status: str, headers: list[Any], exc_info: Any = None) -> Callable[[bytes], None]:
            started[:] = [int(status.split(" ", 1)[0]), [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]]
            return parts.append

        try:
            chunks = self._app(environ, start_response)
            try:
                parts.extend(chunks)
            finally:
                getattr(chunks, "close", lambda: None)()
        except Exception:
            log.exception("the application failed at %s", event.name)
            return _FAILED
        if not started:
            log.error("the application gave no status for %s", event.name)
            return _FAILED
        return Answer(started[0], started[1], b"".join(parts))
