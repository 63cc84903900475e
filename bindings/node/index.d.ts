// The types of socket.io, as programs use them: typed events by four maps (heard, emitted, between servers, socket data).
/// <reference types="node" />
import { EventEmitter } from "node:events";
import type { IncomingMessage, IncomingHttpHeaders, Server as HTTPServer, ServerResponse } from "node:http";
import type { Server as HTTPSServer } from "node:https";
import type { Http2SecureServer, Http2Server } from "node:http2";

export interface EventsMap {
  [event: string]: any;
}
export interface DefaultEventsMap {
  [event: string]: (...args: any[]) => void;
}
export type EventNames<Map extends EventsMap> = keyof Map & string;
export type EventParams<Map extends EventsMap, Ev extends EventNames<Map>> = Parameters<Map[Ev]>;
export type Event = [string, ...any[]];

type Last<T extends any[]> = T extends [...any[], infer L] ? L : any;
type AllButLast<T extends any[]> = T extends [...infer H, any] ? H : any[];
type FirstArg<T> = T extends (first: infer P, ...rest: any[]) => any ? P : any;
type FirstNonErrorArg<T> = T extends (...args: infer P) => any ? FirstNonError<P> : any;
type FirstNonError<T extends any[]> = T[0] extends Error ? T[1] : T[0];
type PrependError<T extends any[]> = { [K in keyof T]: T[K] extends (...args: infer P) => infer R ? (err: Error, ...args: P) => R : T[K] };
type MultiplyAck<T extends any[]> = {
  [K in keyof T]: T[K] extends (...args: infer P) => infer R ? (err: Error, responses: P[0][]) => R : T[K];
};
type WithTimeout<Map extends EventsMap> = { [E in keyof Map]: (...args: PrependError<Parameters<Map[E]>>) => ReturnType<Map[E]> };
type WithMultipleAcks<Map extends EventsMap> = { [E in keyof Map]: (...args: MultiplyAck<Parameters<Map[E]>>) => ReturnType<Map[E]> };

export type Room = string;
export type SocketId = string;
export type DisconnectReason =
  | "transport error"
  | "transport close"
  | "forced close"
  | "ping timeout"
  | "parse error"
  | "server shutting down"
  | "forced server close"
  | "client namespace disconnect"
  | "server namespace disconnect";

export interface ExtendedError extends Error {
  data?: any;
}

export interface Handshake {
  headers: IncomingHttpHeaders;
  time: string;
  address: string;
  xdomain: boolean;
  secure: boolean;
  issued: number;
  url: string;
  query: { [key: string]: undefined | string | string[] };
  auth: { [key: string]: any };
}

/** A cluster over Redis; the options of the official adapters, and the connection's. */
export interface ClusterOptions {
  kind: "redis" | "sharded-redis" | "redis-streams" | "postgres";
  url?: string;
  /** In place of `url`: some nodes of a Redis Cluster. */
  nodes?: string[];
  [option: string]: any;
}
/** What `createAdapter` gives. */
export interface Cluster {
  readonly kind: string;
  readonly options: object;
}
/** As of `@socket.io/redis-adapter`: for the addresses of clients of the packages `redis` or `ioredis`, or a URL. */
export function createAdapter(pubClient: any, subClient?: any, opts?: { key?: string; requestsTimeout?: number; publishOnSpecificResponseChannel?: boolean }): Cluster;

export interface EmitterBroadcastOperator<EmitEvents extends EventsMap = DefaultEventsMap> {
  to(room: Room | Room[]): EmitterBroadcastOperator<EmitEvents>;
  in(room: Room | Room[]): EmitterBroadcastOperator<EmitEvents>;
  except(room: Room | Room[]): EmitterBroadcastOperator<EmitEvents>;
  compress(compress: boolean): EmitterBroadcastOperator<EmitEvents>;
  get volatile(): EmitterBroadcastOperator<EmitEvents>;
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): true;
  socketsJoin(rooms: Room | Room[]): void;
  socketsLeave(rooms: Room | Room[]): void;
  disconnectSockets(close?: boolean): void;
}

/** What has become of what was emitted. */
export interface EmitterState {
  /** The broker is reached. */
  up: boolean;
  waiting: number;
  waitingBytes: number;
  published: number;
  /** Perhaps lost: on its way when the connection broke. */
  unconfirmed: number;
  /** Lost: there was no room for it, the broker refused it, or it was closed too early. */
  dropped: number;
  downs: number;
  /** Why the broker was last lost, or not reached. */
  error: string;
}

/** Speaks to the clients of a cluster without being one of its servers. */
export class Emitter<EmitEvents extends EventsMap = DefaultEventsMap, ServerSideEvents extends EventsMap = DefaultEventsMap> {
  readonly nsp: string;
  constructor(client: any, opts?: { key?: string; [option: string]: any }, nsp?: string);
  of(nsp: string): Emitter<EmitEvents, ServerSideEvents>;
  to(room: Room | Room[]): EmitterBroadcastOperator<EmitEvents>;
  in(room: Room | Room[]): EmitterBroadcastOperator<EmitEvents>;
  except(room: Room | Room[]): EmitterBroadcastOperator<EmitEvents>;
  compress(compress: boolean): EmitterBroadcastOperator<EmitEvents>;
  get volatile(): EmitterBroadcastOperator<EmitEvents>;
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): true;
  socketsJoin(rooms: Room | Room[]): void;
  socketsLeave(rooms: Room | Room[]): void;
  disconnectSockets(close?: boolean): void;
  serverSideEmit<Ev extends EventNames<ServerSideEvents>>(ev: Ev, ...args: EventParams<ServerSideEvents, Ev>): void;
  /** Resolves when the broker has taken what was emitted before. */
  flush(timeoutMs?: number): Promise<void>;
  close(timeoutMs?: number): Promise<void>;
  readonly state: EmitterState;
}

export interface ServerOptions {
  path: string;
  serveClient: boolean;
  /** `{ kind, url, ... }` or what `createAdapter` gives, to join a cluster; or a class. */
  adapter: ClusterOptions | Cluster | any;
  connectTimeout: number;
  cleanupEmptyChildNamespaces: boolean;
  addTrailingSlash: boolean;
  transports: ("polling" | "websocket")[];
  allowUpgrades: boolean;
  pingInterval: number;
  pingTimeout: number;
  upgradeTimeout: number;
  maxHttpBufferSize: number;
  allowRequest: (req: IncomingMessage, fn: (err: string | null | undefined, success: boolean) => void) => void;
  cors: any;
  cookie: any;
  httpCompression: boolean | object;
  destroyUpgrade: boolean;
  destroyUpgradeTimeout: number;
  /** Bounds of the engine: see docs/bounds.md. */
  limits: { [name: string]: number | string | false };
  /** Refuse pages of other origins, WebSockets too. */
  checkOrigin: boolean;
  trustedProxies: string[];
  /** I/O threads of the engine. */
  shards: number;
}

/** What stands for Engine.IO's socket. */
export interface Conn extends EventEmitter {
  readonly id: string;
  readonly protocol: number;
  readonly readyState: "open" | "closed";
  readonly request: IncomingMessage;
  readonly remoteAddress: string;
  readonly transport: { name: "polling" | "websocket"; writable: boolean };
  readonly upgraded: boolean;
  close(): this;
}

export interface Client {
  readonly id: string;
  readonly conn: Conn;
  readonly request: IncomingMessage;
}

/** What stands for Engine.IO's server. */
export interface Engine extends EventEmitter {
  readonly opts: Partial<ServerOptions>;
  readonly clientsCount: number;
  use(fn: (req: IncomingMessage, res: ServerResponse, next: (err?: any) => void) => void): this;
  close(): this;
  /** The engine's metrics in the Prometheus text format. */
  metrics(): string;
}

interface Broadcasting<EmitEvents extends EventsMap, SocketData> {
  to(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  in(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  except(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  readonly local: BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
}

interface Many<EmitEvents extends EventsMap, SocketData> extends Broadcasting<EmitEvents, SocketData> {
  compress(compress: boolean): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  readonly volatile: BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  timeout(ms: number): BroadcastOperator<WithTimeout<WithMultipleAcks<EmitEvents>>, SocketData>;
  allSockets(): Promise<Set<SocketId>>;
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]>;
  socketsJoin(room: Room | Room[]): void;
  socketsLeave(room: Room | Room[]): void;
  disconnectSockets(close?: boolean): void;
}

export class BroadcastOperator<EmitEvents extends EventsMap, SocketData> implements Many<EmitEvents, SocketData> {
  to(room: Room | Room[]): BroadcastOperator<EmitEvents, SocketData>;
  in(room: Room | Room[]): BroadcastOperator<EmitEvents, SocketData>;
  except(room: Room | Room[]): BroadcastOperator<EmitEvents, SocketData>;
  compress(compress: boolean): BroadcastOperator<EmitEvents, SocketData>;
  get volatile(): BroadcastOperator<EmitEvents, SocketData>;
  get local(): BroadcastOperator<EmitEvents, SocketData>;
  timeout(ms: number): BroadcastOperator<WithTimeout<EmitEvents>, SocketData>;
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  emitWithAck<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: AllButLast<EventParams<EmitEvents, Ev>>): Promise<FirstNonErrorArg<Last<EventParams<EmitEvents, Ev>>>>;
  allSockets(): Promise<Set<SocketId>>;
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]>;
  socketsJoin(room: Room | Room[]): void;
  socketsLeave(room: Room | Room[]): void;
  disconnectSockets(close?: boolean): void;
}

export class RemoteSocket<EmitEvents extends EventsMap, SocketData> {
  readonly id: SocketId;
  readonly handshake: Handshake;
  readonly rooms: Set<Room>;
  readonly data: SocketData;
  timeout(ms: number): BroadcastOperator<WithTimeout<EmitEvents>, SocketData>;
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  join(room: Room | Room[]): void;
  leave(room: Room): void;
  disconnect(close?: boolean): this;
}

type SocketReserved = {
  disconnect: (reason: DisconnectReason, description?: any) => void;
  disconnecting: (reason: DisconnectReason, description?: any) => void;
  error: (err: Error) => void;
};
type Heard<Reserved, Events> = Omit<Events, keyof Reserved> & Reserved;
type Listener<Map, Ev> = Ev extends keyof Map ? Map[Ev] : (...args: any[]) => void;

/** An EventEmitter whose listeners are typed. */
declare class TypedEmitter<Map> {
  on<Ev extends keyof Map & string>(ev: Ev, listener: Listener<Map, Ev>): this;
  addListener<Ev extends keyof Map & string>(ev: Ev, listener: Listener<Map, Ev>): this;
  prependListener<Ev extends keyof Map & string>(ev: Ev, listener: Listener<Map, Ev>): this;
  once<Ev extends keyof Map & string>(ev: Ev, listener: Listener<Map, Ev>): this;
  prependOnceListener<Ev extends keyof Map & string>(ev: Ev, listener: Listener<Map, Ev>): this;
  off<Ev extends keyof Map & string>(ev: Ev, listener: Listener<Map, Ev>): this;
  removeListener<Ev extends keyof Map & string>(ev: Ev, listener: Listener<Map, Ev>): this;
  removeAllListeners(ev?: keyof Map & string): this;
  listeners<Ev extends keyof Map & string>(ev: Ev): Listener<Map, Ev>[];
  rawListeners<Ev extends keyof Map & string>(ev: Ev): Listener<Map, Ev>[];
  listenerCount(ev: keyof Map & string): number;
  eventNames(): (string | symbol)[];
  setMaxListeners(n: number): this;
  getMaxListeners(): number;
}

export class Socket<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends TypedEmitter<Heard<SocketReserved, ListenEvents>> implements Broadcasting<EmitEvents, SocketData> {
  readonly id: SocketId;
  readonly nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  readonly client: Client;
  readonly recovered: boolean;
  readonly handshake: Handshake;
  readonly connected: boolean;
  readonly disconnected: boolean;
  readonly rooms: Set<Room>;
  readonly request: IncomingMessage;
  readonly conn: Conn;
  data: SocketData;
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  emitWithAck<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: AllButLast<EventParams<EmitEvents, Ev>>): Promise<FirstNonErrorArg<Last<EventParams<EmitEvents, Ev>>>>;
  send(...args: any[]): this;
  write(...args: any[]): this;
  join(rooms: Room | Room[]): Promise<void> | void;
  leave(room: Room): Promise<void> | void;
  disconnect(close?: boolean): this;
  compress(compress: boolean): this;
  get volatile(): this;
  get broadcast(): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  get local(): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  timeout(ms: number): Socket<ListenEvents, WithTimeout<EmitEvents>, ServerSideEvents, SocketData>;
  to(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  in(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  except(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  use(fn: (event: Event, next: (err?: Error) => void) => void): this;
  onAny(listener: (...args: any[]) => void): this;
  prependAny(listener: (...args: any[]) => void): this;
  offAny(listener?: (...args: any[]) => void): this;
  listenersAny(): ((...args: any[]) => void)[];
  onAnyOutgoing(listener: (...args: any[]) => void): this;
  prependAnyOutgoing(listener: (...args: any[]) => void): this;
  offAnyOutgoing(listener?: (...args: any[]) => void): this;
  listenersAnyOutgoing(): ((...args: any[]) => void)[];
}

type NamespaceReserved<L extends EventsMap, E extends EventsMap, S extends EventsMap, D> = {
  connect: (socket: Socket<L, E, S, D>) => void;
  connection: (socket: Socket<L, E, S, D>) => void;
  new_namespace: (namespace: Namespace<L, E, S, D>) => void;
};

export class Namespace<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends TypedEmitter<Heard<NamespaceReserved<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, ServerSideEvents>> implements Many<EmitEvents, SocketData> {
  readonly name: string;
  readonly sockets: Map<SocketId, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  readonly server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  adapter: any;
  use(fn: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, next: (err?: ExtendedError) => void) => void): this;
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  send(...args: any[]): this;
  write(...args: any[]): this;
  to(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  in(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  except(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  compress(compress: boolean): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  get volatile(): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  get local(): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  timeout(ms: number): BroadcastOperator<WithTimeout<WithMultipleAcks<EmitEvents>>, SocketData>;
  allSockets(): Promise<Set<SocketId>>;
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]>;
  socketsJoin(room: Room | Room[]): void;
  socketsLeave(room: Room | Room[]): void;
  disconnectSockets(close?: boolean): void;
  serverSideEmit<Ev extends EventNames<ServerSideEvents>>(ev: Ev, ...args: EventParams<ServerSideEvents, Ev>): boolean;
  serverSideEmitWithAck<Ev extends EventNames<ServerSideEvents>>(ev: Ev, ...args: AllButLast<EventParams<ServerSideEvents, Ev>>): Promise<FirstArg<Last<EventParams<ServerSideEvents, Ev>>>[]>;
}

type AnyServer = HTTPServer | HTTPSServer | Http2Server | Http2SecureServer;
type ParentMatch = (name: string, auth: { [key: string]: any }, fn: (err: Error | null, success: boolean) => void) => void;

export class Server<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends TypedEmitter<Heard<NamespaceReserved<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, ServerSideEvents>> implements Many<EmitEvents, SocketData> {
  readonly sockets: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  engine: Engine;
  httpServer: AnyServer;
  constructor(opts?: Partial<ServerOptions>);
  constructor(srv?: AnyServer | number, opts?: Partial<ServerOptions>);
  serveClient(v: boolean): this;
  serveClient(): boolean;
  path(v: string): this;
  path(): string;
  connectTimeout(v: number): this;
  connectTimeout(): number;
  adapter(): any;
  adapter(v: any): this;
  listen(srv: AnyServer | number, opts?: Partial<ServerOptions>): this;
  attach(srv: AnyServer | number, opts?: Partial<ServerOptions>): this;
  of(name: string | RegExp | ParentMatch, fn?: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  close(fn?: (err?: Error) => void): Promise<void>;
  use(fn: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, next: (err?: ExtendedError) => void) => void): this;
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  send(...args: any[]): this;
  write(...args: any[]): this;
  to(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  in(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  except(room: Room | Room[]): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  compress(compress: boolean): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  get volatile(): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  get local(): BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;
  timeout(ms: number): BroadcastOperator<WithTimeout<WithMultipleAcks<EmitEvents>>, SocketData>;
  allSockets(): Promise<Set<SocketId>>;
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]>;
  socketsJoin(room: Room | Room[]): void;
  socketsLeave(room: Room | Room[]): void;
  disconnectSockets(close?: boolean): void;
  serverSideEmit<Ev extends EventNames<ServerSideEvents>>(ev: Ev, ...args: EventParams<ServerSideEvents, Ev>): boolean;
  serverSideEmitWithAck<Ev extends EventNames<ServerSideEvents>>(ev: Ev, ...args: AllButLast<EventParams<ServerSideEvents, Ev>>): Promise<FirstArg<Last<EventParams<ServerSideEvents, Ev>>>[]>;
}

declare function sockeye(srv?: AnyServer | number, opts?: Partial<ServerOptions>): Server;
export default sockeye;
