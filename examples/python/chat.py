"""A chat with nicknames and rooms, on asyncio: `make run-python`, then http://localhost:3000 in two tabs.

HOST, PORT and CLIENT_DIR (the folder of the npm package socket.io-client) are taken from the environment.
"""

import os
import pathlib

import sockeye_io

PAGE = pathlib.Path(__file__).with_name("chat")
ROOM_DEFAULT = "lobby"

options = {"clientDir": os.environ["CLIENT_DIR"]} if os.environ.get("CLIENT_DIR") else {}
sio = sockeye_io.AsyncServer(options=options)


async def tell_who_is_in(room):
    """Everybody in a room is shown who is there."""
    people = await sio.fetch_sockets(to=room)
    await sio.emit("people", sorted(one.data["name"] for one in people), to=room)


@sio.event
async def connect(sid, environ, auth):
    name = str((auth or {}).get("name", "")).strip()[:40]
    if not name:
        raise sockeye_io.ConnectionRefusedError("a name is needed")
    sio.set_data(sid, {"name": name})
    await sio.save_session(sid, {"name": name, "room": None})


@sio.event
async def enter(sid, room=ROOM_DEFAULT):
    """Leaves the room that one was in. Acknowledged with the name of the new one."""
    room = f"#{str(room)[:40]}"
    async with sio.session(sid) as session:
        before, session["room"] = session["room"], room
    if before is not None:
        await sio.leave_room(sid, before)
        await tell_who_is_in(before)
    await sio.enter_room(sid, room)
    await tell_who_is_in(room)
    return room


@sio.event
async def say(sid, text):
    session = await sio.get_session(sid)
    if session["room"] is not None:
        await sio.emit("said", {"name": session["name"], "text": str(text)[:1000]}, to=session["room"])


@sio.event
async def disconnect(sid, reason):
    room = (await sio.get_session(sid))["room"]
    if room is not None:
        await tell_who_is_in(room)


if __name__ == "__main__":
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "3000"))
    print(f"chat: http://{host}:{port}", flush=True)
    sio.run(host, port, static_files={"/": str(PAGE)})
