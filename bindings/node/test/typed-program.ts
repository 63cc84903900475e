// A program in TypeScript, as the types of the package must take it: compiled by types.test.js, never run. What must be refused stands
// behind `@ts-expect-error`.
import { type EventEmitter, once } from "node:events";

import sockeye, { createAdapter, type DisconnectReason, Emitter, Server, type Socket } from "sockeye";
import { createAdapter as createPostgresAdapter } from "sockeye/postgres-adapter";
import { createShardedAdapter } from "sockeye/redis-adapter";
import { Emitter as StreamsEmitter } from "sockeye/redis-streams-emitter";

interface Heard {
  greet: (name: string, ack: (isKnown: boolean) => void) => void;
}
interface Emitted {
  news: (number: number) => void;
  ask: (question: string, ack: (answer: number) => void) => void;
  perhaps: (text: string, ack?: (answer: number) => void) => void;
  message: (text: string) => void;
}
interface BetweenServers {
  count: (room: string, ack: (sockets: number) => void) => void;
}
interface Data {
  user: string;
}

export async function withoutMaps() {
  const io: Server = sockeye(3000, { cors: { origin: "*" }, adapter: { kind: "redis", url: "redis://localhost", key: "k" } });
  const emitter: EventEmitter = io;
  await once(emitter, "connection");
  for (const found of await io.in("a").fetchSockets()) {
    found.emit("x", 1);
    found.timeout(5).emit("x", (err: Error, answer: any) => [err, answer]);
  }
  (await io.timeout(5).to("a").emitWithAck("x", 1)).map(String);
  io.local.volatile.compress(true).except("a").emit("x");
  io.of("/a").use((socket, next) => next(socket.data.user ? undefined : new Error("who?")));
  io.adapter(createAdapter({}));
  io.adapter(createShardedAdapter({}, {}, { subscriptionMode: "static" }));
  io.adapter(createPostgresAdapter({}));
  // @ts-expect-error
  io.adapter(() => "no adapter");
  await io.close();
}

export function withMaps(io: Server<Heard, Emitted, BetweenServers, Data>) {
  io.on("connection", (socket) => {
    socket.data.user = socket.handshake.address;
    socket.on("greet", (name, ack) => ack(name === socket.data.user));
    socket.on("disconnect", (reason: DisconnectReason) => reason);
    socket.emit("ask", "how many?", (answer) => answer.toFixed());
    socket.timeout(5).emit("ask", "how many?", (err, answer) => [err.message, answer.toFixed()]);
    socket.broadcast.timeout(5).emit("ask", "how many?", (err, answers) => [err.message, ...answers.map((one) => one.toFixed())]);
    socket.emit("perhaps", "text");
    socket.send("text").volatile.emit("news", 1);
    // @ts-expect-error
    socket.emit("news", "text");
    // @ts-expect-error
    socket.emit("nothing");
    // @ts-expect-error
    socket.on("news", () => {});
  });
  io.serverSideEmit("count", "room", (err, counts) => [err.message, ...counts.map((one) => one.toFixed())]);
  io.send("text");
  io.emit("perhaps", "text");
  // @ts-expect-error without a timeout nobody says when all have answered
  io.emit("ask", "how many?", () => {});
}

export async function answers(io: Server<Heard, Emitted, BetweenServers, Data>, socket: Socket<Heard, Emitted>) {
  const one: number = await socket.emitWithAck("ask", "how many?");
  const all: number[] = await io.timeout(5).emitWithAck("ask", "how many?");
  const servers: number[] = await io.serverSideEmitWithAck("count", "room");
  // @ts-expect-error there is nothing to wait for
  await socket.emitWithAck("news", 1);
  return [one, ...all, ...servers];
}

export function emitters() {
  const emitter = new Emitter<Emitted>("redis://localhost", { key: "k" });
  emitter.to("a").except("b").volatile.emit("news", 1);
  emitter.socketsJoin("room");
  const streams: Emitter = new StreamsEmitter({}, { streamName: "s" });
  return [emitter.state.up, streams.nsp];
}

export class Generic<L extends { [event: string]: (...args: any[]) => void }> {
  constructor(io: Server<L>) {
    io.on("connection", (socket) => socket.on("disconnect", (reason) => reason));
  }
}
