"""Answers to the HTTP requests that are not the engine's own, and how they reach it."""

from __future__ import annotations

import logging
from typing import NamedTuple

from . import _ffi
from ._engine import Engine
from .exceptions import EngineError

log = logging.getLogger("sockeye_io")

# The engine writes these itself.
_OURS = (b"content-length", b"date", b"connection", b"transfer-encoding")
# Failures that only say that nobody waits for the answer any more.
_TOO_LATE = (_ffi.ERR_STALE, _ffi.ERR_GONE, _ffi.ERR_CLOSED)


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


NOT_FOUND = Answer(404, [(b"content-type", b"text/plain")], b"Not Found")
FAILED = Answer(500, [(b"content-type", b"text/plain")], b"Internal Server Error")


def respond(engine: Engine, token: int, answer: Answer) -> None:
    """Answers a request; with an error if the answer is none that HTTP knows, so that its client does not wait in vain."""
    try:
        engine.respond(token, answer.status, [pair for pair in answer.headers if pair[0].lower() not in _OURS], answer.body)
    except Exception as error:
        if isinstance(error, EngineError) and error.code in _TOO_LATE:
            log.debug("an answer came too late: %s", error)
        elif answer is not FAILED:
            log.error("an answer cannot be sent: %s", error)
            respond(engine, token, FAILED)
        else:
            raise
