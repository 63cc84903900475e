"""Guests without manners: connections that break off in every place, stay half open, send rubbish, or are forgotten.

Each is a coroutine that opens a connection of its own; what the server answers is not looked at, since tests/hostile does that. The mix
is random, its rate is not: `run` keeps a fixed number of them going.
"""

import asyncio
import os
import random
import socket
import struct

POLLING = "/socket.io/?EIO=4&transport=polling"
UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket{} HTTP/1.1\r\nHost: soak\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PATIENCE_S = 30


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A masked frame; the mask is 0."""
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | opcode, 0x80 | length])
    else:
        head = bytes([0x80 | opcode, 0x80 | 126]) + struct.pack(">H", length)
    return head + bytes(4) + payload


class Guest:
    """A connection; `reset` ends it with RST, `leave` with FIN."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Guest":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def some(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(65536), PATIENCE_S)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def leave(self) -> None:
        self.writer.close()


async def joined(port: int) -> Guest:
    """A WebSocket in `/`."""
    guest = await Guest.open(port)
    await guest.send(UPGRADE.format(""))
    await guest.head()
    await guest.send(frame(b"40"))
    await guest.some()
    return guest


async def session(port: int) -> tuple[Guest, str]:
    """A session on polling, on a connection that stays."""
    guest = await Guest.open(port)
    await guest.send(f"GET {POLLING} HTTP/1.1\r\nHost: soak\r\n\r\n")
    await guest.head()
    body = (await guest.some()).decode()
    return guest, body.split('"sid":"')[1].split('"')[0]


async def reset_within_a_frame(port: int) -> None:
    guest = await joined(port)
    await guest.send(frame(b'42["message","' + b"x" * 5000 + b'"]')[: random.randrange(1, 5000)])
    guest.reset()


async def reset_within_a_head(port: int) -> None:
    guest = await Guest.open(port)
    await guest.send(UPGRADE.format("")[: random.randrange(1, 150)])
    guest.reset()


async def half_open(port: int) -> None:
    """Never answers a ping: the server has to notice."""
    guest = await joined(port)
    await asyncio.sleep(random.uniform(5, 10))
    guest.leave()


async def rubbish(port: int) -> None:
    guest = await (joined(port) if random.random() < 0.5 else Guest.open(port))
    await guest.send(os.urandom(random.randrange(1, 4000)))
    await guest.some()
    guest.leave()


async def forgotten_session(port: int) -> None:
    guest, _ = await session(port)
    guest.leave()


async def reset_while_polling(port: int) -> None:
    guest, sid = await session(port)
    await guest.send(f"GET {POLLING}&sid={sid} HTTP/1.1\r\nHost: soak\r\n\r\n")
    await asyncio.sleep(random.uniform(0, 1))
    guest.reset()


async def half_a_post(port: int) -> None:
    guest, sid = await session(port)
    await guest.send(f"POST {POLLING}&sid={sid} HTTP/1.1\r\nHost: soak\r\nContent-Length: 1000\r\n\r\n40")
    await asyncio.sleep(random.uniform(0, 1))
    guest.reset()


async def half_an_upgrade(port: int) -> None:
    first, sid = await session(port)
    second = await Guest.open(port)
    await second.send(UPGRADE.format(f"&sid={sid}"))
    await second.head()
    if random.random() < 0.5:
        await second.send(frame(b"2probe"))
        await second.some()
    second.reset()
    first.leave()


async def unread_broadcasts(port: int) -> None:
    """Causes output and does not read it."""
    guest = await joined(port)
    for _ in range(20):
        await guest.send(frame(b'42["echo","' + b"x" * 20_000 + b'"]'))
    await asyncio.sleep(random.uniform(0, 2))
    guest.reset()


async def half_the_attachments(port: int) -> None:
    guest = await joined(port)
    await guest.send(frame(b'452-["bin",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'))
    await guest.send(frame(bytes(3000), 2))
    await asyncio.sleep(random.uniform(0, 1))
    guest.leave()


KINDS = [
    reset_within_a_frame, reset_within_a_head, half_open, rubbish, forgotten_session, reset_while_polling, half_a_post,
    half_an_upgrade, unread_broadcasts, half_the_attachments,
]  # fmt: skip


async def run(port: int, slots: int, stop: asyncio.Event) -> dict[str, int]:
    """Keeps `slots` of them going until `stop`; how many of each kind there were."""
    counts = {kind.__name__: 0 for kind in KINDS}

    async def slot() -> None:
        while not stop.is_set():
            kind = random.choice(KINDS)
            try:
                await kind(port)
            except (OSError, EOFError, IndexError, TimeoutError, asyncio.TimeoutError):
                # The server ended it first, which is its right.
                pass
            counts[kind.__name__] += 1
            await asyncio.sleep(random.uniform(0, 0.5))

    await asyncio.gather(*(slot() for _ in range(slots)))
    return counts
