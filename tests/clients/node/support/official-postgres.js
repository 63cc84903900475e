/** The official adapter for PostgreSQL, as the environment has it. */
import { createAdapter } from "@socket.io/postgres-adapter";
import pg from "pg";

/** Connects; the adapter, and what ends its connections. */
export async function open({ DATABASE_URL, ADAPTER_PREFIX, HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT }) {
  // One connection listens; with one more, what is published keeps its order.
  const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 2 });
  // The tests kill the broker; the adapter connects again by itself.
  pool.on("error", () => {});
  const adapter = createAdapter(pool, {
    channelPrefix: ADAPTER_PREFIX ?? "socket.io",
    // As later versions have it: what has 8000 bytes is too long for a notification.
    payloadThreshold: 7999,
    heartbeatInterval: Number(HEARTBEAT_INTERVAL ?? 5000),
    heartbeatTimeout: Number(HEARTBEAT_TIMEOUT ?? 10000),
  });
  return { adapter, close: () => pool.end() };
}
