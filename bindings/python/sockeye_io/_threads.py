"""Threads for handlers: as many as run at a time, kept for the next ones."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any, Callable

log = logging.getLogger("sockeye_io")

# More handlers than this at a time wait for one of them to end.
_THREADS_MAX = 1000
# A thread that had nothing to do for so long ends.
_IDLE_S = 10


class Threads:
    """Runs functions in threads of its own, which do not keep the interpreter from exiting."""

    def __init__(self) -> None:
        self._work: "queue.SimpleQueue[Any]" = queue.SimpleQueue()
        self._lock = threading.Lock()
        # Threads that wait, less what was put into the queue for them.
        self._free = 0
        self._count = 0

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Runs it soon. An exception is logged."""
        with self._lock:
            self._free -= 1
            grow = self._free < 0 and self._count < _THREADS_MAX
            if grow:
                self._count += 1
                self._free += 1
        self._work.put((function, args))
        if grow:
            threading.Thread(target=self._serve, name="sockeye-handler", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                function, args = self._work.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:
                    # What was counted on this thread is in the queue, or about to be.
                    if self._free <= 0:
                        continue
                    self._free -= 1
                    self._count -= 1
                return
            try:
                function(*args)
            except BaseException:
                # SystemExit too: a handler ends neither the thread, which is counted, nor the program.
                log.exception("a task failed")
            del function, args
            with self._lock:
                self._free += 1
