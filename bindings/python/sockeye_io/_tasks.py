"""Runs coroutine handlers on an asyncio loop, with a task only for those that wait for something.

A task for each event costs more than everything else that an event costs. Here one task, the driver, begins the handlers one after the
other. Most end without waiting. The first that does wait keeps the task, which is its own from then on (`current_task()`,
cancellation and timeouts are as in a task of its own), and another driver takes the rest. Each handler has a copy of the context.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import types
from typing import Any, Callable, Deque, Optional


class Runner:
    """Coroutine handlers that are to run. `after_turn` is called when a driver stops for now: what its handlers made can be sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, after_turn: Callable[[], None]):
        self._loop = loop
        self._after_turn = after_turn
        self._jobs: Deque[tuple[Any, ...]] = collections.deque()
        self._driving = False
        # The driver that has not begun.
        self._next: Optional[asyncio.Task[Any]] = None
        self.tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        """A task that is not lost while it runs."""
        task = self._loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if task is self._next:
            # It was cancelled before it began: the handlers are another's.
            self._next = None
            self._hand_over()

    def add(self, handler: Callable[..., Any], args: tuple[Any, ...], done: Callable[..., Any], a: Any = None, b: Any = None) -> None:
        """Runs `handler(*args)` soon, then `done(result or exception, a, b)`."""
        self._jobs.append((handler, args, done, a, b))
        if not self._driving:
            self._driving = True
            self._next = self.spawn(self._driver())

    async def _driver(self) -> None:
        self._next = None
        await self._drive()

    def _hand_over(self) -> None:
        """The rest is another task's."""
        self._driving = bool(self._jobs)
        if self._driving:
            self._next = self.spawn(self._driver())

    @types.coroutine
    def _drive(self) -> Any:
        jobs = self._jobs
        kept = None
        try:
            while jobs:
                handler, args, done, a, b = jobs.popleft()
                context = contextvars.copy_context()
                try:
                    coroutine = handler(*args)
                    awaited = context.run(coroutine.send, None)
                except StopIteration as end:
                    done(end.value, a, b)
                except (Exception, asyncio.CancelledError) as error:
                    done(error, a, b)
                else:
                    kept = coroutine, context, awaited, done, a, b
                    break
        finally:
            # Also where SystemExit or KeyboardInterrupt end the loop: should it run on, so do the others.
            self._hand_over()
            self._after_turn()
        if kept is not None:
            yield from self._keep(*kept)

    def _keep(self, coroutine: Any, context: contextvars.Context, awaited: Any, done: Callable[..., Any], a: Any, b: Any) -> Any:
        """The rest of one handler: what it awaits the task awaits, and what comes of that goes to it."""
        while True:
            error: Optional[BaseException] = None
            value = None
            try:
                value = yield awaited
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as raised:
                error = raised
            try:
                awaited = context.run(coroutine.send, value) if error is None else context.run(coroutine.throw, error)
            except StopIteration as end:
                done(end.value, a, b)
                break
            except Exception as raised:
                done(raised, a, b)
                break
            except asyncio.CancelledError as raised:
                done(raised, a, b)
                raise
        self._after_turn()
