/** The official adapter for Redis Streams, as the environment has it. */
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";

/** Connects; the adapter, and what ends its connection. */
export async function open({ REDIS_URL, ADAPTER_PREFIX = "socket.io", ADAPTER_OPTIONS }) {
  const client = createClient({ url: REDIS_URL });
  // The tests kill the broker; the client connects again by itself.
  client.on("error", () => {});
  await client.connect();
  const more = JSON.parse(ADAPTER_OPTIONS ?? "{}");
  const adapter = createAdapter(client, {
    streamName: ADAPTER_PREFIX,
    channelPrefix: ADAPTER_PREFIX,
    // So often it asks whether it was closed.
    blockTimeInMs: 200,
    ...more,
  });
  return { adapter, close: () => client.disconnect() };
}
