/** The official adapter for Redis's channels, as the environment has it. */
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";

/** Connects; the adapter, and what ends its connections. */
export async function open({ REDIS_URL, ADAPTER_PREFIX, REQUESTS_TIMEOUT, SPECIFIC_RESPONSE_CHANNEL }) {
  const publisher = createClient({ url: REDIS_URL });
  const subscriber = publisher.duplicate();
  // The tests kill the broker; the client connects again by itself.
  publisher.on("error", () => {});
  subscriber.on("error", () => {});
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const adapter = createAdapter(publisher, subscriber, {
    key: ADAPTER_PREFIX ?? "socket.io",
    requestsTimeout: Number(REQUESTS_TIMEOUT ?? 5000),
    publishOnSpecificResponseChannel: SPECIFIC_RESPONSE_CHANNEL === "1",
  });
  return { adapter, close: () => Promise.allSettled([publisher.quit(), subscriber.quit()]) };
}
