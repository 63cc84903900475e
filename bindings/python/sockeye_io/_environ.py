"""A WSGI environment from what the engine tells of a handshake or request."""

from __future__ import annotations

import functools
import io
import json
import threading
from typing import Any, Dict, Optional
from urllib.parse import unquote_to_bytes


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def environ_of(method: str, target: str, headers: dict[str, Any], address: str, secure: bool, body: bytes = b"") -> dict[str, Any]:
    """The environment of PEP 3333 for a request."""
    path, _, query = target.partition("?")
    scheme = "https" if secure else "http"
    host, _, port = _text(headers.get("host", "localhost")).rpartition(":")
    if not host or not port.isdigit():
        host, port = _text(headers.get("host", "localhost")), "443" if secure else "80"
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        # PEP 3333 wants bytes as latin-1 text.
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "sockeye",
        "REMOTE_ADDR": address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = _text(value)
    return environ


_filling = threading.Lock()


class HandshakeEnviron(Dict[str, Any]):
    """The environment of a client's handshake, made of the engine's JSON account of it when it is first looked into: most never are, and
    the text takes a tenth of the memory. The account itself is under `sockeye.handshake`."""

    __slots__ = ("_text",)

    def __init__(self, text: str):
        super().__init__()
        self._text: Optional[str] = text

    def _fill(self) -> None:
        if self._text is None:
            return
        with _filling:
            # Once, though several threads look: the first may have changed it since.
            if self._text is not None:
                told = json.loads(self._text)
                secure = bool(told.get("secure"))
                super().update(environ_of("GET", told.get("url", "/"), told.get("headers", {}), told.get("address", ""), secure))
                super().__setitem__("sockeye.handshake", told)
                # At the end, for another thread may look meanwhile.
                self._text = None


def _filled(name: str) -> Any:
    plain = getattr(dict, name)

    @functools.wraps(plain)
    def method(self: HandshakeEnviron, *args: Any, **kwargs: Any) -> Any:
        self._fill()
        return plain(self, *args, **kwargs)

    return method


for _name in (
    "__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__", "__ne__", "__or__", "__repr__", "__reversed__",
    "__ror__", "__setitem__", "clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values",
):  # fmt: skip
    setattr(HandshakeEnviron, _name, _filled(_name))
