import { type DefaultEventsMap, Emitter as Base, type EventsMap } from "../../index";

/** As of `@socket.io/redis-streams-emitter`. */
export class Emitter<EmitEvents extends EventsMap = DefaultEventsMap, ServerSideEvents extends EventsMap = DefaultEventsMap> extends Base<EmitEvents, ServerSideEvents> {
  constructor(client: any, opts?: { [option: string]: any }, nsp?: string);
}
