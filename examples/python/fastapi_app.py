"""FastAPI and Socket.IO on one port: `pip install sockeye-io fastapi`, `python fastapi_app.py`, then POST to /announce.

    curl -X POST -H 'content-type: application/json' -d '{"text": "hello"}' http://127.0.0.1:3000/announce

All that are connected hear it, and the answer says how many they are.
"""

import os

from fastapi import FastAPI
from pydantic import BaseModel

import sockeye_io

sio = sockeye_io.AsyncServer()
app = FastAPI()


class Announcement(BaseModel):
    text: str


@app.get("/")
async def index():
    return {"sockets": sio.metrics()["sockets"]}


@app.post("/announce")
async def announce(announcement: Announcement):
    await sio.emit("announcement", announcement.text)
    return {"heard_by": len(await sio.fetch_sockets())}


@sio.event
async def echo(sid, *args):
    return args


if __name__ == "__main__":
    sio.run(os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "3000")), app=app)
