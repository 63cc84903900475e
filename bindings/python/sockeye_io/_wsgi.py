"""A WSGI application behind the engine: it answers the requests that are not on the engine's path, each in a thread."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Callable

from ._answers import FAILED, NOT_FOUND, Answer, respond
from ._engine import Engine, Event
from ._environ import environ_of
from ._files import StaticFiles

log = logging.getLogger("sockeye_io")


class WsgiHost:
    """Answers HTTP events: from files first, else by the application, else with 404. Answers are whole, not streams."""

    def __init__(self, app: Any, files: StaticFiles, engine: Engine, run: Callable[..., Any], patience_s: float):
        self._app = app
        self._files = files
        self._engine = engine
        self._run = run
        # How long the engine waits for an answer.
        self._patience_s = patience_s

    def handle(self, event: Event) -> None:
        """Answers one, later."""
        self._run(self._answer, event)

    def _answer(self, event: Event) -> None:
        answer = self._files.find(event.data["method"], event.name)
        if answer is None:
            answer = NOT_FOUND if self._app is None else self._ask(event)
        respond(self._engine, event.token, answer)

    def _ask(self, event: Event) -> Answer:
        data, body = event.data, event.attachments[0] if event.attachments else b""
        environ = environ_of(data["method"], event.name, data["headers"], data.get("address", ""), bool(data.get("secure")), body)
        environ.setdefault("CONTENT_LENGTH", str(len(body)))
        environ["wsgi.errors"] = sys.stderr
        started: list[Any] = []
        parts: list[bytes] = []
        until = time.monotonic() + self._patience_s

        def start_response(status: str, headers: list[Any], exc_info: Any = None) -> Callable[[bytes], None]:
            started[:] = [int(status.split(" ", 1)[0]), [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]]
            return parts.append

        try:
            chunks = self._app(environ, start_response)
            try:
                for chunk in chunks:
                    parts.append(chunk)
                    if time.monotonic() > until:
                        # An answer without an end would be kept for nobody.
                        log.error("the application gave no whole answer to %s", event.name)
                        return FAILED
            finally:
                getattr(chunks, "close", lambda: None)()
        except Exception:
            log.exception("the application failed at %s", event.name)
            return FAILED
        if not started:
            log.error("the application gave no status for %s", event.name)
            return FAILED
        return Answer(started[0], started[1], b"".join(parts))
