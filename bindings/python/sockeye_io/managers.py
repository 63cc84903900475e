"""Where a server finds the others of its cluster: what `client_manager=` takes."""

from __future__ import annotations

from typing import Any, Optional


class ClientManager:
    """An adapter of the engine's by its kind, and its options by their official names."""

    def __init__(self, kind: str, url: Optional[str], **options: Any) -> None:
        self.kind = kind
        self.options: dict[str, Any] = options if url is None else {"url": url, **options}


class RedisManager(ClientManager):
    """A cluster over Redis, with official Node servers if there are some: the format is that of `@socket.io/redis-adapter`.

    `channel` is the prefix of the channels, which is called `key` there; the same on all servers. Further options are the engine's:
    `requestsTimeout` (milliseconds), `sentinels`, `publishQueueBytes`, and `nodes` of a Redis Cluster, with None in place of the URL.
    """

    def __init__(self, url: Optional[str] = "redis://localhost:6379/0", channel: Optional[str] = None, write_only: bool = False,
                 logger: Any = None, **options: Any) -> None:  # fmt: skip
        if write_only:
            raise NotImplementedError("write_only: a program that is no server uses sockeye_io.Emitter(url)")
        if channel is not None:
            options["key"] = channel
        super().__init__("redis", url, **options)


#: The same for `AsyncServer`, by python-socketio's name.
AsyncRedisManager = RedisManager


def adapter_of(client_manager: Any) -> Optional[tuple[str, dict[str, Any]]]:
    """Kind and options: of a manager, a dict with `kind` and `url`, or the URL of a Redis. None for none."""
    if client_manager is None:
        return None
    if isinstance(client_manager, ClientManager):
        return client_manager.kind, client_manager.options
    if isinstance(client_manager, str):
        return "redis", {"url": client_manager}
    if isinstance(client_manager, dict) and "kind" in client_manager:
        options = dict(client_manager)
        return options.pop("kind"), options
    raise NotImplementedError("client_manager: sockeye_io.RedisManager(url), a dict with kind and url, or a URL")
