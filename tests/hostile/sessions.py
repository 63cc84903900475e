"""Engine.IO sessions by hand, on polling and on WebSocket. Nothing answers a ping unless the case does."""

import base64
import json
import os
import struct

from wire import Ended, Peer, ask, request

PATH = "/socket.io/"
HANDSHAKE = f"{PATH}?EIO=4&transport=polling"
SEPARATOR = "\x1e"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
# What `WebSocket.closed` gives for a close frame without a code (RFC 6455 §7.1.5): all closes by the official server.
NO_CODE = 1005
# And for a connection that ended without a close frame.
ABNORMAL = 1006


class Polling:
    """A long-polling session. Requests go over connections of their own; their answers are whole."""

    def __init__(self, server, query=""):
        self.server = server
        self.query = query
        self.handshake = ask(server, "GET", HANDSHAKE + query)
        assert self.handshake.status == 200, self.handshake
        body = self.handshake.text
        self.sid = json.loads(body[body.index("{") : body.rindex("}") + 1].replace("\\", ""))["sid"]

    @property
    def target(self):
        return f"{HANDSHAKE}{self.query}&sid={self.sid}"

    def get(self):
        return ask(self.server, "GET", self.target)

    def post(self, body, *lines):
        body = body.encode() if isinstance(body, str) else body
        return ask(self.server, "POST", self.target, *(lines or ("Content-Type: text/plain;charset=UTF-8",)), body=body)

    def waiting_poll(self):
        """A poll that has nothing to be answered with yet, and that the server has: a request before it is answered."""
        peer = Peer(self.server).send(request("GET", "/nothing") + request("GET", self.target))
        assert peer.answer().status == 404
        assert peer.silent(0.05)
        return peer

    def waiting_post(self, length, body):
        """A POST of which this part of the body has come, and that the server has: it has said to go on."""
        peer = Peer(self.server).send(request("POST", self.target, f"Content-Length: {length}", "Expect: 100-continue"))
        assert peer.answer().status == 100
        return peer.send(body)

    def take(self, count):
        """Polls until `count` packets other than pings came."""
        packets = []
        while len(packets) < count:
            packets += [packet for packet in self.get().text.split(SEPARATOR) if packet != "2"]
        return packets

    def join(self):
        """Joins the main namespace, and takes the answer and the event that the testbed greets with."""
        assert self.post("40").text == "ok"
        connected, greeting = self.take(2)
        assert connected.startswith("40{") and greeting.startswith('42["auth",')
        return self

    def echo(self):
        """Whether the session answers; it must have joined."""
        self.post('42["echo",1]')
        return self.take(1) == ['42["echo",1]']

    def is_alive(self):
        """Whether the server knows the session: an unsolicited pong has no other effect."""
        answer = self.post("3")
        assert answer.status == 200 or (answer.status, answer.code) == (400, 1), answer
        return answer.status == 200

    def leave(self):
        self.post("1")


class WebSocket:
    """A WebSocket of which each frame is sent and seen."""

    def __init__(self, server, query="", headers=(), receive_buffer=None):
        self.peer = Peer(server, receive_buffer)
        self.peer.send(upgrade_request(f"{PATH}?EIO=4&transport=websocket{query}", *headers))
        self.handshake = self.peer.answer()
        assert self.handshake.status == 101, self.handshake

    @classmethod
    def open(cls, server, **options):
        """A new session; its open packet is read."""
        websocket = cls(server, **options)
        websocket.sid = json.loads(websocket.text()[1:])["sid"]
        return websocket

    @classmethod
    def joined(cls, server, nsp="", **options):
        """A new session that has joined a namespace (`/custom,`); what the testbed says to that is read."""
        websocket = cls.open(server, **options)
        return websocket.join(nsp)

    def join(self, nsp=""):
        self.send(f"40{nsp}")
        assert self.text().startswith(f"40{nsp}{{")
        assert self.text().startswith(f'42{nsp}["auth",')
        return self

    def send(self, *messages):
        """Sends messages, `str` as text and `bytes` as binary, in one write."""
        frames = (frame(TEXT, m.encode()) if isinstance(m, str) else frame(BINARY, m) for m in messages)
        self.peer.send(b"".join(frames))
        return self

    def send_raw(self, data):
        self.peer.send(data)
        return self

    def next(self):
        """The next frame that is no Engine.IO ping: its opcode and payload."""
        while True:
            first, length = self.peer.take(2)
            assert first & 0x70 == 0 and length & 0x80 == 0, "a server's frame has no reserved bits and no mask"
            if length == 126:
                (length,) = struct.unpack(">H", self.peer.take(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.peer.take(8))
            opcode, payload = first & 0x0F, self.peer.take(length)
            if (opcode, payload) != (TEXT, b"2"):
                return opcode, payload

    def quiet(self, seconds):
        """Whether nothing but pings comes for so long, and the connection stays."""
        while not self.peer.silent(seconds):
            came, self.peer.buffer = self.peer.buffer, b""
            if not came or came.replace(b"\x81\x012", b""):
                return False
        return True

    def text(self):
        opcode, payload = self.next()
        assert opcode == TEXT, (opcode, payload)
        return payload.decode()

    def closed(self):
        """The code with which the server closes, and nothing comes before or after that."""
        try:
            opcode, payload = self.next()
        except Ended:
            return ABNORMAL
        assert opcode == CLOSE, (opcode, payload)
        assert self.peer.closed()
        return struct.unpack(">H", payload)[0] if payload else NO_CODE

    def echo(self):
        """Whether the session goes on; it must have joined the main namespace."""
        self.send('42["echo",1]')
        return self.text() == '42["echo",1]'

    def pong(self):
        return self.send("3")


def upgrade_request(target, *lines, key=None, version="13"):
    """An opening handshake of RFC 6455 §4.1."""
    key = key or base64.b64encode(os.urandom(16)).decode()
    fields = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Version: {version}")
    return request("GET", target, *fields, *lines)


def header(first, length, form=None):
    """A masked frame's bytes before the mask; `form` 7, 16 or 64 says how the length is written."""
    form = form or (7 if length < 126 else 16 if length < 65_536 else 64)
    if form == 7:
        return bytes([first, 0x80 | length])
    return bytes([first, 0x80 | (126 if form == 16 else 127)]) + struct.pack(">H" if form == 16 else ">Q", length)


def frame(opcode, payload=b"", flags=FIN, form=None):
    """A client's frame. The mask is of zeros, which is one like any other (RFC 6455 §5.3)."""
    return header(flags | opcode, len(payload), form) + bytes(4) + payload
