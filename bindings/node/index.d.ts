// The types of socket.io, as programs use them: typed events by four maps (heard, emitted, between servers, socket data).
/// <reference types="node" />
import { EventEmitter } from "node:events";
import type { IncomingMessage, IncomingHttpHeaders, Server as HTTPServer, ServerResponse } from "node:http";
import type { Server as HTTPSServer } from "node:https";
import type { Http2SecureServer, Http2Server } from "node:http2";

// ---- events ----------------------------------------------------------------------------------------------------------------

export interface EventsMap {
  [event: string]: any;
}
export interface DefaultEventsMap {
  [event: string]: (...args: any[]) => void;
}
export type EventNames<Map extends EventsMap> = keyof Map & (string | symbol);
export type EventParams<Map extends EventsMap, Ev extends EventNames<Map>> = Parameters<Map[Ev]>;
export type Event = [string, ...any[]];

type Fn = (...args: any[]) => any;
type IsAny<T> = 0 extends 1 & T ? true : false;
type Last<T extends any[]> = T extends [...any[], infer L] ? L : T[number];
type AllButLast<T extends any[]> = T extends [...infer H, any] ? H : any[];

/** Whether the last parameter of an event acknowledges it; of events that may have any parameters it is not known. */
type IsAcknowledged<F extends Fn> = IsAny<F> extends true ? boolean : IsAny<Last<Parameters<F>>> extends true ? boolean
  : [Last<Parameters<F>>] extends [never] ? false : [Last<Parameters<F>>] extends [Fn] ? true : false;
export type EventNamesWithAck<Map extends EventsMap, Ev extends EventNames<Map> = EventNames<Map>> =
  Ev extends any ? (true extends IsAcknowledged<Map[Ev]> ? Ev : never) : never;
export type EventNamesWithoutAck<Map extends EventsMap, Ev extends EventNames<Map> = EventNames<Map>> =
  Ev extends any ? (false extends IsAcknowledged<Map[Ev]> ? Ev : never) : never;
/** Those whose acknowledgement may fail, as it does after `timeout()`. */
type EventNamesWithError<Map extends EventsMap, Ev extends EventNamesWithAck<Map> = EventNamesWithAck<Map>> =
  Ev extends any ? (IsAny<AckOf<Map, Ev>> extends true ? Ev : AckOf<Map, Ev> extends (first: infer P, ...rest: any[]) => any ? (P extends Error ? Ev : never) : never) : never;

type AckOf<Map extends EventsMap, Ev extends EventNames<Map>> = Last<EventParams<Map, Ev>>;
/** What an acknowledgement promises: its first argument that is no error. */
type AckValue<Ack> = Ack extends (...args: infer P) => any ? (P[0] extends Error ? P[1] : P[0]) : any;

type StartsWithError<P extends any[]> = P extends [infer First, ...any[]] ? (IsAny<First> extends true ? false : [First] extends [Error] ? true : false) : false;
/** An acknowledgement that fails when the time is over. */
type TimedAck<Ack> = Ack extends (...args: infer P) => infer R ? (StartsWithError<P> extends true ? Ack : (err: Error, ...args: P) => R) : Ack;
/** The acknowledgements of many, which come as one: the first value of each. */
type ManyAcks<Ack> = Ack extends (...args: infer P) => infer R
  ? P extends [] ? () => R
    : StartsWithError<P> extends true ? (P extends [any, infer V, ...any[]] ? (err: Error, responses: V[]) => R : (err: Error) => R)
    : (responses: P[0][]) => R
  : Ack;
type TimedAcks<P extends any[]> = { [K in keyof P]: TimedAck<P[K]> };
type ManyOf<P extends any[]> = { [K in keyof P]: ManyAcks<P[K]> };
type WithTimeout<Map> = { [Ev in keyof Map]: Map[Ev] extends (...args: infer P) => infer R ? (...args: TimedAcks<P>) => R : Map[Ev] };
type WithMultipleAcks<Map> = { [Ev in keyof Map]: Map[Ev] extends (...args: infer P) => infer R ? (...args: ManyOf<P>) => R : Map[Ev] };

/** What `send()` takes: the parameters of the event `message`. */
type MessageParams<Map extends EventsMap> = "message" extends keyof Map ? Parameters<Map["message"]> : never;

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

// ---- whom it is for, and what can be done with them ------------------------------------------------------------------------------

/** What narrows: each gives an operator of its own. */
interface Narrows<Operator> {
  to(room: Room | Room[]): Operator;
  in(room: Room | Room[]): Operator;
  except(room: Room | Room[]): Operator;
}
interface Flags<Operator> {
  compress(compress: boolean): Operator;
  readonly volatile: Operator;
}
interface Bulk {
  socketsJoin(rooms: Room | Room[]): void;
  socketsLeave(rooms: Room | Room[]): void;
  disconnectSockets(close?: boolean): void;
}
interface Lists<EmitEvents extends EventsMap, SocketData> {
  allSockets(): Promise<Set<SocketId>>;
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]>;
}
interface Emits<EmitEvents extends EventsMap, Done = boolean> {
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): Done;
}
interface Sends<EmitEvents extends EventsMap> {
  send(...args: MessageParams<EmitEvents>): this;
  write(...args: MessageParams<EmitEvents>): this;
}
/** The operator for all, which many may acknowledge. */
type ForAll<EmitEvents extends EventsMap, SocketData> = BroadcastOperator<WithMultipleAcks<EmitEvents>, SocketData>;

export class BroadcastOperator<EmitEvents extends EventsMap, SocketData> {
  private constructor();
  timeout(ms: number): BroadcastOperator<WithTimeout<EmitEvents>, SocketData>;
  emitWithAck<Ev extends EventNamesWithError<EmitEvents>>(ev: Ev, ...args: AllButLast<EventParams<EmitEvents, Ev>>): Promise<AckValue<AckOf<EmitEvents, Ev>>>;
}
export interface BroadcastOperator<EmitEvents extends EventsMap, SocketData>
  extends Narrows<BroadcastOperator<EmitEvents, SocketData>>, Flags<BroadcastOperator<EmitEvents, SocketData>>, Emits<EmitEvents>, Lists<EmitEvents, SocketData>, Bulk {
  readonly local: BroadcastOperator<EmitEvents, SocketData>;
}

export class RemoteSocket<EmitEvents extends EventsMap, SocketData> {
  private constructor();
  readonly id: SocketId;
  readonly handshake: Handshake;
  readonly rooms: Set<Room>;
  readonly data: SocketData;
  timeout(ms: number): BroadcastOperator<WithTimeout<EmitEvents>, SocketData>;
  join(room: Room | Room[]): void;
  leave(room: Room): void;
  disconnect(close?: boolean): this;
}
export interface RemoteSocket<EmitEvents extends EventsMap, SocketData> extends Emits<EmitEvents> {}

// ---- emitters: from outside of the cluster's servers -----------------------------------------------------------------------------

export interface EmitterBroadcastOperator<EmitEvents extends EventsMap = DefaultEventsMap>
  extends Narrows<EmitterBroadcastOperator<EmitEvents>>, Flags<EmitterBroadcastOperator<EmitEvents>>, Emits<EmitEvents, true>, Bulk {}

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
  serverSideEmit<Ev extends EventNames<ServerSideEvents>>(ev: Ev, ...args: EventParams<ServerSideEvents, Ev>): void;
  /** Resolves when the broker has taken what was emitted before. */
  flush(timeoutMs?: number): Promise<void>;
  close(timeoutMs?: number): Promise<void>;
  readonly state: EmitterState;
}
export interface Emitter<EmitEvents extends EventsMap = DefaultEventsMap, ServerSideEvents extends EventsMap = DefaultEventsMap>
  extends EmitterBroadcastOperator<EmitEvents> {}

// ---- servers -----------------------------------------------------------------------------------------------------------------

type AdapterOption = ClusterOptions | Cluster | (new (nsp: any) => object) | ((nsp: any) => object);

export interface ServerOptions {
  path: string;
  serveClient: boolean;
  /** `{ kind, url, ... }` or what `createAdapter` gives, to join a cluster; or a class. */
  adapter: AdapterOption;
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
  /** These are taken with a warning, and do nothing yet. */
  parser: any;
  connectionStateRecovery: object;
  allowEIO3: boolean;
  perMessageDeflate: boolean | object;
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

type SocketReserved = {
  disconnect: (reason: DisconnectReason, description?: any) => void;
  disconnecting: (reason: DisconnectReason, description?: any) => void;
  error: (err: Error) => void;
};
type Listened<Reserved extends EventsMap, Events extends EventsMap> = EventNames<Reserved> | EventNames<Events>;
type Listener<Reserved extends EventsMap, Events extends EventsMap, Ev> = OrAny<Ev extends keyof Reserved ? Reserved[Ev] : Ev extends keyof Events ? Events[Ev] : never>;
/** Within a generic class names of events may not be known. */
type OrAny<T> = [T] extends [never] ? (...args: any[]) => void | Promise<void> : T;

/** An EventEmitter whose listeners are typed. */
declare abstract class TypedEmitter<Reserved extends EventsMap, Events extends EventsMap> extends EventEmitter {
  on<Ev extends Listened<Reserved, Events>>(ev: Ev, listener: Listener<Reserved, Events, Ev>): this;
  once<Ev extends Listened<Reserved, Events>>(ev: Ev, listener: Listener<Reserved, Events, Ev>): this;
  off<Ev extends Listened<Reserved, Events>>(ev: Ev, listener: Listener<Reserved, Events, Ev>): this;
  listeners<Ev extends Listened<Reserved, Events>>(ev: Ev): Listener<Reserved, Events, Ev>[];
}

export class Socket<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends TypedEmitter<SocketReserved, ListenEvents> {
  private constructor();
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
  emitWithAck<Ev extends EventNamesWithAck<EmitEvents>>(ev: Ev, ...args: AllButLast<EventParams<EmitEvents, Ev>>): Promise<AckValue<AckOf<EmitEvents, Ev>>>;
  join(rooms: Room | Room[]): Promise<void> | void;
  leave(room: Room): Promise<void> | void;
  disconnect(close?: boolean): this;
  compress(compress: boolean): this;
  get volatile(): this;
  get broadcast(): ForAll<EmitEvents, SocketData>;
  get local(): ForAll<EmitEvents, SocketData>;
  timeout(ms: number): Socket<ListenEvents, WithTimeout<EmitEvents>, ServerSideEvents, SocketData>;
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
export interface Socket<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends Narrows<ForAll<EmitEvents, SocketData>>, Sends<EmitEvents> {}

interface NamespaceReserved<L extends EventsMap, E extends EventsMap, S extends EventsMap, D> {
  connect: (socket: Socket<L, E, S, D>) => void;
  connection: (socket: Socket<L, E, S, D>) => void;
}
interface ServerReserved<L extends EventsMap, E extends EventsMap, S extends EventsMap, D> extends NamespaceReserved<L, E, S, D> {
  new_namespace: (namespace: Namespace<L, E, S, D>) => void;
}

/** What a namespace can do, and a server by its namespace `/`. */
declare abstract class Everybody<Reserved extends EventsMap, L extends EventsMap, E extends EventsMap, S extends EventsMap, D> extends TypedEmitter<Reserved, S> {
  use(fn: (socket: Socket<L, E, S, D>, next: (err?: ExtendedError) => void) => void): this;
  emit<Ev extends EventNamesWithoutAck<E>>(ev: Ev, ...args: EventParams<E, Ev>): boolean;
  get local(): ForAll<E, D>;
  timeout(ms: number): BroadcastOperator<WithTimeout<WithMultipleAcks<E>>, D>;
  serverSideEmit<Ev extends EventNames<S>>(ev: Ev, ...args: EventParams<WithMultipleAcks<WithTimeout<S>>, Ev>): boolean;
  serverSideEmitWithAck<Ev extends EventNamesWithAck<S>>(ev: Ev, ...args: AllButLast<EventParams<S, Ev>>): Promise<AckValue<AckOf<S, Ev>>[]>;
}
interface Everybody<Reserved extends EventsMap, L extends EventsMap, E extends EventsMap, S extends EventsMap, D>
  extends Narrows<ForAll<E, D>>, Flags<ForAll<E, D>>, Sends<E>, Lists<E, D>, Bulk {}

export class Namespace<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends Everybody<NamespaceReserved<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
  private constructor();
  readonly name: string;
  readonly sockets: Map<SocketId, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  readonly server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  adapter: any;
}

type AnyServer = HTTPServer | HTTPSServer | Http2Server | Http2SecureServer;
type ParentMatch = (name: string, auth: { [key: string]: any }, fn: (err: Error | null, success: boolean) => void) => void;

export class Server<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends Everybody<ServerReserved<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
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
  adapter(v: AdapterOption): this;
  listen(srv: AnyServer | number, opts?: Partial<ServerOptions>): this;
  attach(srv: AnyServer | number, opts?: Partial<ServerOptions>): this;
  of(name: string | RegExp | ParentMatch, fn?: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  close(fn?: (err?: Error) => void): Promise<void>;
}

declare function sockeye(srv?: AnyServer | number, opts?: Partial<ServerOptions>): Server;
export default sockeye;
