"""python-socketio on uvicorn with uvloop: the five events of the testbed's short path."""

import os

import socketio
import uvicorn

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[], always_connect=True)


@sio.on("echo")
async def echo(sid, *args):
    await sio.emit("echo", args, to=sid)


@sio.on("echo-bin")
async def echo_bin(sid, *args):
    await sio.emit("echo-bin", args, to=sid)


@sio.on("ack")
async def ack(sid, *args):
    return args


@sio.on("bcast")
async def bcast(sid, *args):
    await sio.emit("bcast", args)


@sio.on("room")
async def room(sid, name, *args):
    await sio.emit("room", args, room=name)


@sio.on("connect")
async def connect(sid, environ, auth):
    for name in (auth or {}).get("rooms", ()):
        await sio.enter_room(sid, name)
    await sio.emit("auth", auth or {}, to=sid)


uvicorn.run(
    socketio.ASGIApp(sio),
    host=os.environ.get("HOST", "127.0.0.1"),
    port=int(os.environ.get("PORT", "3000")),
    loop="uvloop",
    http="httptools",
    ws="websockets",
    log_level="error",
)
