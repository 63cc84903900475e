"""A WSGI environment from what the engine tells of a handshake or request."""

from __future__ import annotations

import io
from typing import Any, Dict
from urllib.parse import unquote_to_bytes


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def environ_of(method: str, target: str, headers: Dict[str, Any], address: str, secure: bool, body: bytes = b"") -> Dict[str, Any]:
    """The environment of PEP 3333 for a request."""
    path, _, query = target.partition("?")
    scheme = "https" if secure else "http"
    host, _, port = _text(headers.get("host", "localhost")).rpartition(":")
    if not host or not port.isdigit():
        host, port = _text(headers.get("host", "localhost")), "443" if secure else "80"
    environ: Dict[str, Any] = {
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


def environ_of_handshake(handshake: Dict[str, Any]) -> Dict[str, Any]:
    """The environment of a client's handshake; the engine's own account of it is under `sockeye.handshake`."""
    environ = environ_of(
        "GET", handshake.get("url", "/"), handshake.get("headers", {}), handshake.get("address", ""), bool(handshake.get("secure"))
    )
    environ["sockeye.handshake"] = handshake
    return environ
