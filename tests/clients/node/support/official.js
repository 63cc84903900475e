/**
 * The official server as a member of a cluster, with as much of the testbed's contract as the tests of clusters use. Configured by the
 * environment as the testbed is; each adapter has a module of its own, `official-<ADAPTER>.js`.
 */
import { createServer } from "node:http";

import { Server } from "socket.io";

const { HOST, PORT, ADAPTER, SERVER_NAME } = process.env;

const { open } = await import(`./official-${ADAPTER}.js`);
const { adapter, close } = await open(process.env);

const http = createServer();
const io = new Server(http, { adapter });

const log = [];

/** The namespace narrowed as a command says. */
function operator(nsp, { to = [], except = [], flags = {} }) {
  let target = nsp.to(to).except(except);
  if (flags.local) target = target.local;
  if (flags.volatile) target = target.volatile;
  if (flags.compress === false) target = target.compress(false);
  return target;
}

const collect = (run) => new Promise((resolve) => run((err, responses) => resolve({ err: err?.message ?? null, responses })));

const describe = ({ id, rooms, data, handshake }) => {
  return { id, rooms: [...rooms].sort(), data, query: handshake.query, auth: handshake.auth };
};

const operations = {
  name: () => SERVER_NAME,
  emit: (nsp, cmd) => operator(nsp, cmd).emit(cmd.event, ...(cmd.args ?? [])),
  emitAck: (nsp, cmd) => {
    const target = operator(nsp, cmd).timeout(cmd.timeout);
    return collect((done) => target.emit(cmd.event, ...(cmd.args ?? []), done));
  },
  fetchSockets: async (nsp, cmd) => {
    const sockets = await operator(nsp, cmd).fetchSockets();
    return sockets.map(describe).sort((a, b) => (a.id < b.id ? -1 : 1));
  },
  socketsJoin: (nsp, cmd) => operator(nsp, cmd).socketsJoin(cmd.rooms),
  socketsLeave: (nsp, cmd) => operator(nsp, cmd).socketsLeave(cmd.rooms),
  disconnectSockets: (nsp, cmd) => operator(nsp, cmd).disconnectSockets(cmd.close),
  serverSideEmit: (nsp, cmd) => nsp.serverSideEmit(cmd.event, ...(cmd.args ?? [])),
  serverSideEmitAck: (nsp, cmd) => collect((done) => nsp.serverSideEmit(cmd.event, ...(cmd.args ?? []), done)),
  serverCount: (nsp) => nsp.adapter.serverCount(),
  log: () => log.splice(0),
};

async function remote(nsp, cmd) {
  const [socket] = await nsp.in(cmd.id).fetchSockets();
  if (cmd.how === "emit") return socket.emit(cmd.event, ...(cmd.args ?? []));
  if (cmd.how === "join") return socket.join(cmd.rooms);
  if (cmd.how === "leave") return socket.leave(cmd.room);
  if (cmd.how === "disconnect") return void socket.disconnect(cmd.close);
  return socket.timeout(10_000).emitWithAck(cmd.event, ...(cmd.args ?? []));
}

async function run(socket, cmd) {
  const nsp = io.of(cmd.nsp ?? "/");
  if (cmd.op === "socketEmit") {
    socket.to(cmd.to ?? []).except(cmd.except ?? []).emit(cmd.event, ...(cmd.args ?? []));
    return true;
  }
  const result = await (cmd.op === "remote" ? remote(nsp, cmd) : operations[cmd.op](nsp, cmd));
  return result === undefined || result === nsp ? true : result;
}

for (const name of ["/", "/custom"]) {
  const nsp = io.of(name);
  nsp.on("sse", (...args) => {
    if (typeof args.at(-1) === "function") args.pop();
    log.push([name, "sse", ...args]);
  });
  nsp.on("sse-ack", (...args) => args.pop()({ name: SERVER_NAME, echo: args }));
  nsp.on("sse-noack", () => {});
  nsp.on("connection", (socket) => {
    const { data, rooms } = socket.handshake.auth;
    socket.data = data ?? {};
    if (rooms) socket.join(rooms);
    setTimeout(() => socket.emit("auth", socket.handshake.auth), 10);
    socket.on("join", (room, ack) => {
      socket.join(room);
      ack([...socket.rooms].sort());
    });
    socket.on("cmd", (cmd, ack) => {
      run(socket, cmd).then(
        (result) => ack({ ok: true, result }),
        (error) => ack({ ok: false, error: error.message }),
      );
    });
  });
}

http.listen(Number(PORT), HOST);
process.on("SIGTERM", () => {
  io.close(async () => {
    await close();
    process.exit(0);
  });
});
