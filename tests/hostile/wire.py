"""TCP and HTTP by hand: what a case says goes out as written, and what comes back is shown as it came.

Everything that a case opens is closed after it, whatever became of the case.
"""

import json
import socket
import struct
import time
from typing import NamedTuple

# Every answer that a case waits for comes within this time, or the server has lost the request.
ANSWER_TIMEOUT_S = 30

opened = []


class Answer(NamedTuple):
    """One HTTP answer. Header names are in lower case; `body` is bytes."""

    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def code(self):
        """The `code` of an Engine.IO error."""
        return json.loads(self.body)["code"]


class Ended(Exception):
    """The server closed the connection, or reset it, before all that was awaited had come."""


class Peer:
    """One TCP connection to the server."""

    def __init__(self, server, receive_buffer=None):
        self.socket = socket.socket()
        opened.append(self)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(ANSWER_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.ended = b"", False
        try:
            self.socket.connect(("127.0.0.1", server.port))
        except ConnectionResetError:
            # The server was quick: for the case this is an end like any other.
            self.ended = True

    def send(self, data):
        """Sends all of it. That the server has closed already is for the reads to tell."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def trickle(self, data, pause_s=0.001):
        """Sends one byte at a time."""
        for at in range(len(data)):
            self.send(data[at : at + 1])
            time.sleep(pause_s)
        return self

    def flood(self, data, seconds, bytes_max):
        """Sends `data` again and again and reads nothing; how many bytes the server took in that time."""
        sent, deadline = 0, time.monotonic() + seconds
        self.socket.settimeout(0.2)
        try:
            while sent < bytes_max and time.monotonic() < deadline:
                try:
                    sent += self.socket.send(data[sent % len(data) :])
                except socket.timeout:
                    continue
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            self.socket.settimeout(ANSWER_TIMEOUT_S)
        return sent

    def _receive(self):
        try:
            data = b"" if self.ended else self.socket.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Ended(f"after {self.buffer!r}")
        self.buffer += data

    def take(self, count):
        """The next `count` bytes."""
        while len(self.buffer) < count:
            self._receive()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def take_until(self, mark):
        """The bytes up to and with `mark`."""
        while mark not in self.buffer:
            self._receive()
        return self.take(self.buffer.index(mark) + len(mark))

    def answer(self, to_head=False):
        """The next HTTP answer; `to_head` if it answers a HEAD request and so has no body (RFC 9112 §6.3)."""
        lines = self.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        assert "transfer-encoding" not in headers, "the server never sends chunks"
        empty = to_head or status < 200 or status in (204, 304)
        return Answer(status, headers, b"" if empty else self.take(int(headers["content-length"])))

    def rest(self):
        """All that comes until the server closes; fails if it does not."""
        while True:
            try:
                self._receive()
            except Ended:
                rest, self.buffer = self.buffer, b""
                return rest

    def closed(self):
        """Whether the server closes without another byte."""
        return self.rest() == b""

    def silent(self, seconds):
        """Whether nothing comes for so long, and the connection stays."""
        self.socket.settimeout(seconds)
        try:
            self._receive()
            return False
        except socket.timeout:
            return True
        except Ended:
            return False
        finally:
            self.socket.settimeout(ANSWER_TIMEOUT_S)

    def half_close(self):
        """Sends no more, and goes on reading."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Breaks the connection with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.socket.close()


def close_all():
    while opened:
        opened.pop().close()


def request(method, target, *lines, body=b"", version="1.1"):
    """A request; it has the `lines` and a Host, and a Content-Length if there is a body and no line tells its end."""
    head = [f"{method} {target} HTTP/{version}", "Host: h", *lines]
    framed = any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines)
    if body and not framed:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def ask(server, *request_parts, **options):
    """The answer to one request on a connection of its own."""
    peer = Peer(server).send(request(*request_parts, **options))
    answer = peer.answer(to_head=request_parts[0] == "HEAD")
    peer.close()
    return answer


def send_raw(server, data):
    """The answer to the bytes, after which the server must close the connection."""
    peer = Peer(server).send(data)
    answer = peer.answer()
    assert answer.headers["connection"] == "close"
    assert peer.closed(), "what follows a request that was not understood must not be read as another"
    return answer
