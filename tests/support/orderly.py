"""python-socketio's synchronous client, with the messages of a connection handled one after the other.

As it comes, each message is handled by a thread of its own, and nothing keeps these in order: binary data can be handled before the event
that announces it, which is then lost. That is rare with one lock for all of Python, and common on builds without it.
"""

import collections
import threading

import engineio
import socketio


class _EngineClient(engineio.Client):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._lock = threading.Lock()
        self._came = collections.deque()
        self._handles = False

    def _trigger_event(self, event, *args, **kwargs):
        if event != "message":
            return super()._trigger_event(event, *args, **kwargs)
        with self._lock:
            self._came.append(args)
            if self._handles:
                return None
            self._handles = True
        return self.start_background_task(self._handle_all)

    def _handle_all(self):
        while True:
            with self._lock:
                if not self._came:
                    self._handles = False
                    return
                args = self._came.popleft()
            super()._trigger_event("message", *args)


class Client(socketio.Client):
    """`socketio.Client` in order. Its handlers must not wait for what the server sends later."""

    def _engineio_client_class(self):
        return _EngineClient
