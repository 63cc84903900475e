"""A program with types on everything: what `test_types.py` gives to mypy, with `--strict`. It is never run."""

from __future__ import annotations

from typing import Any, Dict

import sockeye_io

sio = sockeye_io.AsyncServer(cors_allowed_origins="*", options={"limits": {"messagesPerSecond": 50}})
threads = sockeye_io.Server(async_handlers=False)


@sio.event
async def connect(sid: str, environ: Dict[str, Any], auth: Any) -> bool:
    if auth is None:
        raise sockeye_io.ConnectionRefusedError("who are you?", {"code": 1})
    await sio.enter_room(sid, "lobby")
    return True


@sio.on("say", namespace="/chat")
async def say(sid: str, text: str) -> str:
    await sio.emit("said", (text, b"bytes"), to="lobby", skip_sid=sid, volatile=True)
    async with sio.session(sid) as session:
        session["last"] = text
    answers = await sio.call_all("heard", timeout=1)
    return f"{len(answers)} of {[one.sid for one in await sio.fetch_sockets()]} heard it"


class Chat(sockeye_io.AsyncNamespace):
    async def on_say(self, sid: str, text: str) -> None:
        await self.emit("said", text, room="lobby")


@threads.event
def greet(sid: str, name: str) -> str:
    threads.start_background_task(threads.sleep, 1)
    rooms: list[str] = threads.rooms(sid)
    return f"hello {name} in {rooms}"


sio.register_namespace(Chat("/chat"))
port: int = threads.start(port=0)
