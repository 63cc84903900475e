// What `adapter` may be to join a cluster: `{ kind, url, ... }`, or what the `createAdapter` functions make of the clients that programs of
// the official adapters have. The engine has connections of its own; of a client only the address and the credentials are taken.
"use strict";

class Cluster {
  /** `options` are the adapter's own, by their official names, and `url`. */
  constructor(kind, options) {
    if (typeof kind !== "string") throw new Error("adapter.kind is missing: the name of an adapter, such as redis");
    this.kind = kind;
    this.options = options;
  }
}

/** A Cluster of what the option `adapter` was given; undefined if that is something else, such as a class. */
function clusterOf(value) {
  if (value instanceof Cluster) return value;
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, ...options } = value;
  return new Cluster(kind, options);
}

const encoded = (text) => encodeURIComponent(text);

/** `user:password@`, if there are any. */
function credentials(user, password) {
  if (!user && !password) return "";
  return `${encoded(user ?? "")}${password ? ":" + encoded(password) : ""}@`;
}

function hostOf(host) {
  return host !== undefined && host.includes(":") ? `[${host}]` : (host ?? "127.0.0.1");
}

/** Where a client of the packages `redis` or `ioredis` connects to. */
function redisUrl(options) {
  const { host, port = 6379, path, tls } = options.socket ?? options;
  const { username: user, password, database, db = database } = options;
  if (path) {
    const query = new URLSearchParams();
    if (db) query.set("db", String(db));
    if (user) query.set("user", user);
    if (password) query.set("pass", password);
    return `redis+unix://${path}${query.size === 0 ? "" : "?" + query}`;
  }
  return `${tls ? "rediss" : "redis"}://${credentials(user, password)}${hostOf(host)}:${port}${db ? "/" + db : ""}`;
}

/** Where a pool of the package `pg` connects to; what it is not told it takes from the environment. */
function postgresUrl({ connectionString, ssl, ...told }) {
  if (connectionString) return connectionString;
  const of = (name) => told[name] ?? process.env[`PG${name.toUpperCase()}`];
  const [host, port, user, password, database] = ["host", "port", "user", "password", "database"].map(of);
  if (typeof password === "function") throw new Error("a password that is a function cannot be used: give a url");
  const path = encoded(database ?? user ?? "");
  if (host?.startsWith("/")) {
    const query = Object.entries({ host, port, user, password }).filter(([, value]) => value !== undefined);
    return `postgres:///${path}?${query.map(([key, value]) => `${key}=${encoded(value)}`).join("&")}`;
  }
  const query = ssl ? "?sslmode=require" : "";
  return `postgres://${credentials(user, password)}${hostOf(host)}:${port ?? 5432}/${path}${query}`;
}

/** The connection's options of a URL, an object with `url`, or a client. */
function connection(client, urlOf, what) {
  if (typeof client === "string") return { url: client };
  if (typeof client?.url === "string") return { url: client.url };
  const options = client?.options;
  if (typeof options !== "object" || options === null || client.isCluster) {
    throw new Error(`what this ${what} connects to cannot be told: give { url } in its place`);
  }
  if (Array.isArray(options.sentinels) && options.sentinels.length !== 0) {
    const sentinels = options.sentinels.map(({ host, port = 26379 }) => `redis://${hostOf(host)}:${port}`);
    return { url: urlOf({ ...options, host: options.name, port: undefined }).replace(/:6379(?=\/|$)/, ""), sentinels };
  }
  return { url: urlOf(options) };
}

const ofRedis = (client) => connection(client, redisUrl, "client of Redis");
const ofPostgres = (pool) => connection(pool, postgresUrl, "pool of PostgreSQL");

/** As of `@socket.io/redis-adapter`: both clients connect to the same. */
const createAdapter = (pubClient, _subClient, opts) => new Cluster("redis", { ...ofRedis(pubClient), ...opts });
const createShardedAdapter = (pubClient, _subClient, opts) => new Cluster("sharded-redis", { ...ofRedis(pubClient), ...opts });
/** As of `@socket.io/redis-streams-adapter`. */
const createStreamsAdapter = (client, opts) => new Cluster("redis-streams", { ...ofRedis(client), ...opts });
/** As of `@socket.io/postgres-adapter`. */
const createPostgresAdapter = (pool, opts) => new Cluster("postgres", { ...ofPostgres(pool), ...opts });

module.exports = { clusterOf, createAdapter, createShardedAdapter, createStreamsAdapter, createPostgresAdapter, ofRedis, ofPostgres };
