/** The official adapter for Redis's channels of shards, as the environment has it. */
import { createShardedAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";

/** Connects; the adapter, and what ends its connections. */
export async function open({ REDIS_URL, ADAPTER_PREFIX, SUBSCRIPTION_MODE }) {
  const publisher = createClient({ url: REDIS_URL });
  const subscriber = publisher.duplicate();
  // The tests kill the broker; the client connects again by itself.
  publisher.on("error", () => {});
  subscriber.on("error", () => {});
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const adapter = createShardedAdapter(publisher, subscriber, {
    channelPrefix: ADAPTER_PREFIX ?? "socket.io",
    subscriptionMode: SUBSCRIPTION_MODE ?? "dynamic",
  });
  return { adapter, close: () => Promise.allSettled([publisher.quit(), subscriber.quit()]) };
}
