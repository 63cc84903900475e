"""The options of python-socketio as the engine's own."""

from __future__ import annotations

from typing import Any, Optional

_COOKIE_KEYS = {"httponly": "httpOnly", "samesite": "sameSite", "max_age": "maxAge", "max-age": "maxAge"}


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _cors(origins: Any, credentials: bool) -> dict[str, Any]:
    if callable(origins):
        raise NotImplementedError("cors_allowed_origins cannot be a function: the engine decides without asking Python")
    if origins is None:
        # Pages of the server's own host, and nobody else's.
        return {"checkOrigin": True}
    if origins == []:
        return {}
    if origins == "*":
        # Browsers want the very origin in the answer if credentials go along.
        return {"cors": {"origin": True if credentials else "*", "credentials": credentials}}
    listed = [origins] if isinstance(origins, str) else list(origins)
    if "*" in listed:
        return _cors("*", credentials)
    return {"cors": {"origin": listed, "credentials": credentials}, "checkOrigin": True}


def _cookie(cookie: Any) -> Any:
    if isinstance(cookie, str):
        return {"name": cookie, "path": "/", "httpOnly": False, "sameSite": "Lax"}
    if any(callable(value) for value in cookie.values()):
        raise NotImplementedError("cookie: its attributes cannot be functions: the engine sets it without asking Python")
    return {_COOKIE_KEYS.get(key.lower(), key.lower()): value for key, value in cookie.items()}


def engine_options(
    *,
    ping_interval: Any = 25,
    ping_timeout: float = 20,
    max_http_buffer_size: int = 1_000_000,
    allow_upgrades: bool = True,
    http_compression: bool = True,
    compression_threshold: int = 1024,
    cookie: Any = None,
    cors_allowed_origins: Any = None,
    cors_credentials: bool = True,
    transports: Any = None,
    options: Optional[dict[str, Any]] = None,
) -> dict[str, Any]:
    """The engine's options; `options` are some of its own, by their official names, and win."""
    interval = ping_interval[0] if isinstance(ping_interval, tuple) else ping_interval
    made: dict[str, Any] = {
        "pingInterval": _ms(interval),
        "pingTimeout": _ms(ping_timeout),
        "maxHttpBufferSize": max_http_buffer_size,
        "allowUpgrades": allow_upgrades,
        "httpCompression": {"threshold": compression_threshold} if http_compression else False,
        **_cors(cors_allowed_origins, cors_credentials),
    }
    if cookie is not None:
        made["cookie"] = _cookie(cookie)
    if transports is not None:
        made["transports"] = [transports] if isinstance(transports, str) else list(transports)
    made.update(options or {})
    return made
