#!/usr/bin/env python3
"""The testbed on the Python package: the same contract as tests/c/testbed.c, driven by the same tests.

`DELIVERY=poll` is `AsyncServer`, `thread` is `Server`, whose handlers here are the same coroutines, which never wait for anything but
a blocking call. What of the contract the package does not have (bare Engine.IO, other servers of a cluster) is refused or left out.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import sockeye_io  # noqa: E402
from sockeye_io.exceptions import DisconnectedError, EngineError, TimeoutError  # noqa: E402

KNOWN = {"poll", "thread"}
ASK_TIMEOUT_S = 2
# The protocol's suite sees the answer to CONNECT and what follows as two messages only if they do not travel together.
AUTH_DELAY_S = 0.01
DYNAMIC = re.compile("/dyn-[0-9]+")
NUMBERS = {"PING_INTERVAL": "pingInterval", "PING_TIMEOUT": "pingTimeout", "CONNECT_TIMEOUT": "connectTimeout",
           "UPGRADE_TIMEOUT": "upgradeTimeout", "MAX_HTTP_BUFFER_SIZE": "maxHttpBufferSize", "SHARDS": "shards"}  # fmt: skip
FLAGS = {"ALLOW_UPGRADES": "allowUpgrades", "TRAILING_SLASH": "addTrailingSlash", "HTTP_COMPRESSION": "httpCompression"}
TEXTS = {"SIO_PATH": "path", "METRICS_PATH": "metricsPath", "CLIENT_DIR": "clientDir"}
# ADAPTER_PREFIX, under the names that each kind of adapter has for it.
PREFIXES = {"redis": {"key": "{}"}, "sharded-redis": {"channelPrefix": "{}"}, "postgres": {"channelPrefix": "{}"},
            "redis-streams": {"channelPrefix": "{}", "streamName": "{}", "sessionKeyPrefix": "{}:session:"}}  # fmt: skip
CLUSTER_NUMBERS = {"REQUESTS_TIMEOUT": "requestsTimeout", "HEARTBEAT_INTERVAL": "heartbeatInterval", "HEARTBEAT_TIMEOUT": "heartbeatTimeout",
                   "CLEANUP_INTERVAL": "cleanupInterval"}  # fmt: skip
LATER = ("ENGINE_ONLY", "ALLOW_EIO3", "PMD", "RECOVERY", "PARSER", "ADMIN", "TLS_CERT", "WT", "LIMITS", "COOKIE")


def fail(text):
    print(f"testbed: {text}", file=sys.stderr)
    sys.exit(2)


def options():
    """The engine's options that the environment asks for."""
    made = {}
    for name in LATER:
        if os.environ.get(name, "memory") not in ("", "memory"):
            fail(f"{name}: the Python testbed does not have it")
    for name, option in NUMBERS.items():
        if os.environ.get(name):
            made[option] = int(os.environ[name])
    for name, option in FLAGS.items():
        if os.environ.get(name) == "0":
            made[option] = False
    for name, option in TEXTS.items():
        if os.environ.get(name):
            made[option] = os.environ[name]
    if os.environ.get("TRANSPORTS"):
        made["transports"] = os.environ["TRANSPORTS"].split(",")
    if os.environ.get("CORS_ORIGIN"):
        origins = os.environ["CORS_ORIGIN"].split(",")
        made["cors"] = {"origin": origins[0] if len(origins) == 1 else origins}
        if os.environ.get("CORS_CREDENTIALS") == "1":
            made["cors"]["credentials"] = True
    return made


def manager():
    """The cluster that the environment asks for."""
    kind = os.environ.get("ADAPTER") or "memory"
    if kind == "memory":
        return None
    if kind not in PREFIXES:
        fail(f"ADAPTER={kind}: not known")
    url, otherwise = ("DATABASE_URL", "postgres://127.0.0.1:5432") if kind == "postgres" else ("REDIS_URL", "redis://127.0.0.1:6379")
    made = {"kind": kind, "url": os.environ.get(url) or otherwise, **json.loads(os.environ.get("ADAPTER_OPTIONS") or "{}")}
    if os.environ.get("REDIS_SENTINEL"):
        made["sentinels"] = [os.environ["REDIS_SENTINEL"]]
    for name, option in CLUSTER_NUMBERS.items():
        if os.environ.get(name) and (kind == "postgres" or name == "REQUESTS_TIMEOUT"):
            made[option] = int(os.environ[name])
    if os.environ.get("SUBSCRIPTION_MODE"):
        made["subscriptionMode"] = os.environ["SUBSCRIPTION_MODE"]
    if os.environ.get("SPECIFIC_RESPONSE_CHANNEL") == "1":
        made["publishOnSpecificResponseChannel"] = True
    prefix = os.environ.get("ADAPTER_PREFIX")
    if prefix:
        made.update({option: text.format(prefix) for option, text in PREFIXES[kind].items()})
    return made


class Blocking:
    """`Server` with the methods of `AsyncServer`: the coroutines end without ever waiting."""

    def __init__(self, sio):
        self.sio = sio

    def __getattr__(self, name):
        method = getattr(self.sio, name)
        if name in ("rooms", "get_environ", "transport", "set_data", "namespace_rooms", "start_background_task"):
            return method

        async def call(*args, **kwargs):
            return method(*args, **kwargs)

        return call

    def on(self, event, handler, namespace):
        @functools.wraps(handler)
        def run(*args):
            try:
                handler(*args).send(None)
            except StopIteration as end:
                return end.value

        self.sio.on(event, run, namespace)

    def on_server_event(self, event, handler, namespace):
        self.sio.on_server_event(event, handler, namespace)


# What other servers have said, until it is asked for.
LOG = []
NOT_HANDLED = sockeye_io.AsyncServer.not_handled


class Bed:
    """The handlers of one namespace."""

    def __init__(self, sio, namespace, threads):
        self.sio, self.nsp, self.threads = sio, namespace, threads
        for name in ("echo", "echo_bin", "ack", "bcast", "room", "message", "message_with_ack", "join", "leave", "room_emit", "io_emit",
                     "ask", "bin", "whoami", "kick", "leave_nsp", "drop", "cmd"):  # fmt: skip
            sio.on(name.replace("_", "-"), getattr(self, name), namespace)
        sio.on("connect", self.connect, namespace)
        sio.on_server_event("sse", lambda *args: LOG.append([namespace, "sse", *args]) or NOT_HANDLED, namespace)
        sio.on_server_event("sse-ack", lambda *args: {"name": os.environ.get("SERVER_NAME", ""), "echo": args}, namespace)
        sio.on_server_event("sse-noack", lambda *_: NOT_HANDLED, namespace)

    async def connect(self, sid, environ, auth):
        auth = auth or {}
        if isinstance(auth.get("data"), dict):
            self.sio.set_data(sid, auth["data"])
        if auth.get("rooms"):
            await self.sio.enter_room(sid, auth["rooms"])
        self.sio.start_background_task(self.tell_threaded if self.threads else self.tell, sid, auth)

    async def tell(self, sid, auth):
        await asyncio.sleep(AUTH_DELAY_S)
        await self.sio.emit("auth", auth, to=sid, namespace=self.nsp)

    def tell_threaded(self, sid, auth):
        time.sleep(AUTH_DELAY_S)
        self.sio.sio.emit("auth", auth, to=sid, namespace=self.nsp)

    async def echo(self, sid, *args):
        await self.sio.emit("echo", args, to=sid, namespace=self.nsp)

    async def echo_bin(self, sid, *args):
        await self.sio.emit("echo-bin", args, to=sid, namespace=self.nsp)

    async def ack(self, sid, *args):
        return args

    async def bcast(self, sid, *args):
        await self.sio.emit("bcast", args, namespace=self.nsp)

    async def room(self, sid, room, *args):
        if isinstance(room, str):
            await self.sio.emit("room", args, to=[room], namespace=self.nsp)

    async def message(self, sid, *args):
        await self.sio.emit("message-back", args, to=sid, namespace=self.nsp)

    async def message_with_ack(self, sid, *args):
        return args

    async def join(self, sid, room=None, *_):
        if isinstance(room, str):
            await self.sio.enter_room(sid, room)
        return sorted(self.sio.rooms(sid))

    async def leave(self, sid, room=None, *_):
        if isinstance(room, str):
            await self.sio.leave_room(sid, room)
        return sorted(self.sio.rooms(sid))

    async def room_emit(self, sid, room, event, *args):
        if isinstance(room, str) and isinstance(event, str):
            await self.sio.emit(event, args, to=[room], skip_sid=sid, namespace=self.nsp)

    async def io_emit(self, sid, room, event, *args):
        if isinstance(event, str) and (room is None or isinstance(room, str)):
            await self.sio.emit(event, args, to=None if room is None else [room], namespace=self.nsp)

    async def ask(self, sid, event, *args):
        try:
            answer = await self.sio.call(event, args, to=sid, timeout=ASK_TIMEOUT_S)
        except (TimeoutError, DisconnectedError):
            return "timeout"
        return (None, *answer) if isinstance(answer, tuple) else (None,) if answer is None else (None, answer)

    async def bin(self, sid, n=0, *_):
        size = n if isinstance(n, int) and n >= 0 else 0
        buf = bytes(at & 255 for at in range(size))
        value = {"n": size, "buf": buf, "list": [b"\x01\x02\x03", {"deep": b"\xff\x00"}]}
        await self.sio.emit("bin-back", value, to=sid, namespace=self.nsp)
        return buf

    async def whoami(self, sid, *_):
        handshake = self.sio.get_environ(sid)["sockeye.handshake"]
        return {"id": sid, "nsp": self.nsp, "transport": self.sio.transport(sid), "protocol": 4, "rooms": sorted(self.sio.rooms(sid)),
                "recovered": False, "query": handshake["query"]}  # fmt: skip

    async def kick(self, sid, *_):
        await self.sio.disconnect(sid, close=True)

    async def leave_nsp(self, sid, *_):
        await self.sio.disconnect(sid)

    async def drop(self, sid, *_):
        await self.sio.disconnect(sid, silent=True)

    # ---- cmd --------------------------------------------------------------------------------------------------------------------

    async def cmd(self, sid, cmd, *_):
        operation = getattr(self, "op_" + str(cmd.get("op")), None)
        if operation is None:
            return {"ok": False, "error": f"unknown operation {cmd.get('op')}"}
        flags = cmd.get("flags") or {}
        where = {"to": cmd.get("to") or None, "except_": cmd.get("except") or None, "namespace": cmd.get("nsp", "/")}
        try:
            how = {name: True for name in ("volatile", "local") if flags.get(name)}
            return {"ok": True, "result": await operation(sid, cmd, where, how)}
        except (EngineError, TimeoutError, DisconnectedError, KeyError) as error:
            return {"ok": False, "error": str(error)}

    async def op_name(self, sid, cmd, where, how):
        return os.environ.get("SERVER_NAME", "")

    async def op_emit(self, sid, cmd, where, how):
        await self.sio.emit(cmd["event"], tuple(cmd.get("args", ())), **how, **where)
        return True

    async def op_socketEmit(self, sid, cmd, where, how):
        where["except_"] = [sid, *(where["except_"] or ())]
        where["namespace"] = self.nsp
        await self.sio.emit(cmd["event"], tuple(cmd.get("args", ())), **how, **where)
        return True

    async def op_emitAck(self, sid, cmd, where, how):
        err = None
        try:
            replies = await self.sio.call_all(cmd["event"], tuple(cmd.get("args", ())), timeout=cmd.get("timeout", 0) / 1000, **where)
        except TimeoutError as error:
            err, replies = "operation has timed out", error.replies
        return {"err": err, "responses": [reply[0] if isinstance(reply, tuple) else reply for reply in replies]}

    async def op_fetchSockets(self, sid, cmd, where, how):
        found = sorted(await self.sio.fetch_sockets(**where), key=lambda one: one.sid)
        return [{"id": one.sid, "rooms": sorted(one.rooms), "data": one.data, "query": one.handshake["query"], "auth": one.handshake["auth"]}
                for one in found]  # fmt: skip

    async def op_remote(self, sid, cmd, where, how):
        found = await self.sio.fetch_sockets(to=cmd["id"], namespace=where["namespace"])
        if len(found) != 1:
            raise KeyError("no such socket")
        one, how = found[0].sid, cmd["how"]
        if how == "emit":
            await self.sio.emit(cmd["event"], tuple(cmd.get("args", ())), to=one, namespace=where["namespace"])
        elif how == "join":
            await self.sio.sockets_join(cmd["rooms"], to=one, namespace=where["namespace"])
        elif how == "leave":
            await self.sio.sockets_leave([cmd["room"]], to=one, namespace=where["namespace"])
        elif how == "disconnect":
            await self.sio.disconnect(one, where["namespace"], close=bool(cmd.get("close")))
        elif how == "ack":
            where = {"to": one, "namespace": where["namespace"]}
            return await self.sio.call(cmd["event"], tuple(cmd.get("args", ())), timeout=cmd.get("timeout", 5000) / 1000, **where)
        return True

    async def op_socketsJoin(self, sid, cmd, where, how):
        await self.sio.sockets_join(cmd["rooms"], **where)
        return True

    async def op_socketsLeave(self, sid, cmd, where, how):
        await self.sio.sockets_leave(cmd["rooms"], **where)
        return True

    async def op_disconnectSockets(self, sid, cmd, where, how):
        await self.sio.disconnect_sockets(close=bool(cmd.get("close")), **where)
        return True

    async def op_serverSideEmit(self, sid, cmd, where, how):
        await self.sio.server_side_emit(cmd["event"], tuple(cmd.get("args", ())), namespace=where["namespace"])
        return True

    async def op_serverSideEmitAck(self, sid, cmd, where, how):
        try:
            replies = await self.sio.server_side_call(cmd["event"], tuple(cmd.get("args", ())), namespace=where["namespace"])
        except TimeoutError as error:
            return {"err": str(error), "responses": error.replies}
        return {"err": None, "responses": replies}

    async def op_serverCount(self, sid, cmd, where, how):
        return await self.sio.server_count(where["namespace"])

    async def op_log(self, sid, cmd, where, how):
        said = LOG[:]
        del LOG[: len(said)]
        return said

    async def op_rooms(self, sid, cmd, where, how):
        return sorted(self.sio.namespace_rooms(where["namespace"]))


def main():
    delivery = os.environ.get("DELIVERY") or "poll"
    if delivery not in KNOWN:
        fail(f"DELIVERY={delivery}: not one of poll, thread")
    threads = delivery == "thread"
    # Threads that run at the same time answer in any order, and the tests hold the engine to the order of what was sent.
    kind = functools.partial(sockeye_io.Server, async_handlers=False) if threads else sockeye_io.AsyncServer
    made = kind(client_manager=manager(), cors_allowed_origins=[], options=options())
    sio = Blocking(made) if threads else made
    Bed(sio, "/", threads)
    Bed(sio, "/custom", threads)

    async def deny(*_):
        raise sockeye_io.ConnectionRefusedError("denied", {"code": 4001})

    async def dynamic(namespace, sid, environ, auth):
        if not DYNAMIC.fullmatch(namespace):
            raise sockeye_io.ConnectionRefusedError("Invalid namespace")
        # Its handlers are there from now on.
        if namespace not in beds:
            beds[namespace] = Bed(sio, namespace, threads)
        await beds[namespace].connect(sid, environ, auth)

    beds = {}
    sio.on("connect", deny, "/deny")
    sio.on("connect", dynamic, "*")
    made.run(os.environ.get("HOST") or "127.0.0.1", int(os.environ.get("PORT") or 3000))


main()
