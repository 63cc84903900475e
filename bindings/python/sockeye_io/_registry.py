"""Handlers, and which of them an event is for."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional

RESERVED = ("connect", "disconnect")


class Route(NamedTuple):
    """A handler; `prefix` are arguments before those of the event."""

    handler: Callable[..., Any]
    prefix: tuple[Any, ...]
    is_async: bool
    # How many arguments it takes at most, `prefix` not counted.
    arity: float


def arity_of(handler: Callable[..., Any]) -> float:
    """How many positional arguments it takes at most."""
    # Here and not above, for what it costs to load: a server listens without it.
    import inspect

    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return float("inf")
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return float("inf")
    return sum(parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters)


def is_async(handler: Callable[..., Any]) -> bool:
    """Whether a call gives a coroutine."""
    import inspect

    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))


class Registry:
    """The handlers of a server. Those that were found are remembered, until another is registered."""

    def __init__(self) -> None:
        self.handlers: dict[str, dict[str, Callable[..., Any]]] = {}
        self.namespace_handlers: dict[str, Any] = {}
        self._routes: dict[tuple[str, str], Route] = {}

    def on(self, event: str, handler: Optional[Callable[..., Any]] = None, namespace: Optional[str] = None) -> Callable[..., Any]:
        """Registers a handler for an event, as a decorator or with `handler`.

        `"*"` as the event catches all that have no handler of their own (not `connect` and `disconnect`), and is given the
        event's name first; `"*"` as the namespace catches those of all namespaces, and is given the namespace before the sid.
        """
        name = namespace or "/"

        def register(handler: Callable[..., Any]) -> Callable[..., Any]:
            self.handlers.setdefault(name, {})[event] = handler
            self._routes = {}
            self._registered(name, event)
            return handler

        return register if handler is None else register(handler)

    def event(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Registers the decorated function for the event that it is named after: `@sio.event` or `@sio.event(namespace=...)`."""
        if len(args) == 1 and not kwargs and callable(args[0]):
            return self.on(args[0].__name__, args[0])
        return lambda handler: self.on(handler.__name__, *args, **kwargs)(handler)

    def register_namespace(self, namespace_handler: Any) -> None:
        """Registers an instance of a class of handlers, `Namespace` or `AsyncNamespace`."""
        if not isinstance(namespace_handler, self._namespace_class()):
            raise ValueError(f"not an instance of {self._namespace_class().__name__}")
        namespace_handler._set_server(self)
        self.namespace_handlers[namespace_handler.namespace] = namespace_handler
        self._routes = {}
        self._registered(namespace_handler.namespace, "*")

    def _namespace_class(self) -> type[Any]:
        raise NotImplementedError

    def _registered(self, namespace: str, event: str) -> None:
        """There is a handler now for an event of a namespace, or for all of them (`*`)."""
        raise NotImplementedError

    def _route(self, namespace: str, event: str) -> Optional[Route]:
        # What was found before another thread registered a handler is remembered in a dict that nobody asks any more.
        routes = self._routes
        route = routes.get((namespace, event))
        if route is None:
            found = self._find(namespace, event)
            if found is None:
                return None
            handler, prefix, exact = found
            route = Route(handler, prefix, is_async(handler), arity_of(handler) - len(prefix))
            # Names that clients choose are not remembered: there is no end of them.
            if exact:
                routes[namespace, event] = route
        return route

    def _find(self, namespace: str, event: str) -> Optional[tuple[Callable[..., Any], tuple[Any, ...], bool]]:
        for key, prefix in ((namespace, ()), ("*", (namespace,))):
            handlers = self.handlers.get(key, {})
            if event in handlers:
                # Under the `*` namespace there is no end of namespaces, which clients choose as well.
                return handlers[event], prefix, not prefix
            if "*" in handlers and event not in RESERVED:
                return handlers["*"], (event, *prefix), False
        for key, prefix in ((namespace, ()), ("*", (namespace,))):
            space = self.namespace_handlers.get(key)
            if space is None:
                continue
            if space._overrides_trigger:
                return space.trigger_event, (event, *prefix), False
            handler = getattr(space, f"on_{event}", None)
            if handler is not None:
                return handler, prefix, not prefix
        return None
