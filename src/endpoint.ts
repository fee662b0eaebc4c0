/** `queuepair/endpoint`: one end of a queue pair, and how to wait for its completions. */
export {
  CompletionWaiter,
  type TakeCompletion,
  type WaiterQueues,
  type WaitOptions,
} from './endpoint/completion-waiter.js';
export { type Endpoint, type EndpointOptions, type MemorySource, openEndpoint } from './endpoint/endpoint.js';
export { openDevice } from './open-device.js';
export type { PathOptions } from './verbs/bring-up.js';
export type { OpenDeviceOptions } from './verbs/device-provider.js';
export { type PeerPath, toPeerPath } from './verbs/peer-path.js';
