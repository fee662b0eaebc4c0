/** The message service in a worker of `serve --workers`; it tells its events on the channel that its address names. */
import { BroadcastChannel } from 'node:worker_threads';
import { messageService } from './message-service.js';
import { EVENTS, tellingHooks } from './telling.js';

function channelOf(address: string): BroadcastChannel | undefined {
  const name = new URL(address).searchParams.get(EVENTS);
  if (name === null) return undefined;
  const channel = new BroadcastChannel(name);
  channel.unref();
  return channel;
}

const channel = channelOf(import.meta.url);

export default messageService(
  channel === undefined ? {} : tellingHooks((event) => channel.postMessage(event)),
);
