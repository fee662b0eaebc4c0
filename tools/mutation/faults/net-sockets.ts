/** Faults of sockets and servers of queuepair/net, whatever carries their bytes. */
import { faultsOf } from '../fault-list.js';

const SOCKET = 'net/socket';
const SERVER = 'net/server';
const POOL = 'net/session-pool';
const DEVICES = 'net/device-pool';
const PARTING = 'net/parting-channel';
const RULES = 'net/option-rules';
const REACH = 'net/reach';

export const NET_SOCKET_FAULTS = faultsOf(
  'net',
  ['test/net/connecting', 'test/net/ending', 'test/net/servers', 'test/net/settings', 'test/net/sessions'],
  [
    {
      id: 'net-unref-forgotten',
      wrong: 'A socket that is unref before it connects keeps its process alive.',
      file: SOCKET,
      find: 'new ProcessHold(this.#isReferenced)',
      replace: 'new ProcessHold()',
      judges: ['test/net/process-end'],
    },
    {
      id: 'net-hold-kept',
      wrong: 'A socket that has closed keeps its process alive.',
      file: SOCKET,
      find: '    this.#hold?.end();\n',
      replace: '',
      judges: ['test/net/process-end'],
    },
    {
      id: 'net-close-told-early',
      wrong: 'A socket that connects again in its listener of close is told so of its new life.',
      file: SOCKET,
      find: '    this.#isOver = true;\n',
      replace: '',
    },
    {
      id: 'net-leftovers-kept',
      wrong: 'A socket that connects again has what was not read before.',
      file: SOCKET,
      find: 'while (this.readableLength > 0) {',
      replace: 'while (false) {',
    },
    {
      id: 'net-pending-when-open',
      wrong: 'A socket that is connected is pending.',
      file: SOCKET,
      find: 'return this.#channel === undefined || this.destroyed;',
      replace: 'return true;',
    },
    {
      id: 'net-destroy-resets',
      wrong: 'A destroy() is a reset for the peer.',
      file: PARTING,
      find: 'if (this.#wantsReset || this.#isOver || this.#hasMore()) {',
      replace: 'if (true) {',
    },
    {
      id: 'net-reset-is-end',
      wrong: 'A resetAndDestroy() is an orderly end for the peer.',
      file: SOCKET,
      find: '    this.#channel?.reset();\n',
      replace: '',
    },
    {
      id: 'net-close-says-no-error',
      wrong: 'The event close never says that there was an error.',
      file: SOCKET,
      find: "super.emit('close', this.errored !== null)",
      replace: "super.emit('close', false)",
    },
    {
      id: 'net-max-connections-one-more',
      wrong: 'A server takes one socket more than it may.',
      file: SERVER,
      find: 'this.#sockets.size >= this.maxConnections',
      replace: 'this.#sockets.size > this.maxConnections',
    },
    {
      id: 'net-close-leaves-sockets',
      wrong: 'A server is closed while sockets are open.',
      file: SERVER,
      find: 'if (course.transport === undefined || this.#sockets.size > 0) return;',
      replace: 'if (course.transport === undefined) return;',
    },
    {
      id: 'net-recovering-shared',
      wrong: 'A new socket gets a connection that is not up.',
      file: POOL,
      find: 'if (this.#isOver || this.#isRecovering) return false;',
      replace: 'if (this.#isOver) return false;',
    },
    {
      id: 'net-addresses-ignored',
      wrong: 'Sockets to one name share a connection though its addresses are others.',
      file: POOL,
      find: 'const where = [...new Set(addresses)].sort().join();',
      replace: "const where = '';",
    },
    {
      id: 'net-device-closed-under-user',
      wrong: 'A device is closed though somebody came back to it.',
      file: DEVICES,
      find: '  clearTimeout(entry.linger);\n',
      replace: '',
      judges: ['test/net/device-pool'],
    },
    {
      id: 'net-device-failure-kept',
      wrong: 'A device that could not be opened is never tried again.',
      file: DEVICES,
      find: '    if (shared.get(named) === entry) shared.delete(named);\n',
      replace: '',
      judges: ['test/net/device-pool'],
    },
    {
      id: 'net-plain-takes-credentials',
      wrong: 'The plain dialect takes credentials and means nothing by them.',
      file: RULES,
      find: '  if (given === undefined) return;\n  const isSecuring',
      replace: '  return;\n  const isSecuring',
    },
    {
      id: 'net-block-list-ignored',
      wrong: 'A server takes sockets from addresses of its blockList.',
      file: SERVER,
      find: 'if (blockList !== undefined && isBlocked(blockList, stream.remote.address)) {',
      replace: 'if (blockList !== undefined && !isBlocked(blockList, stream.remote.address)) {',
    },
    {
      id: 'net-block-list-of-client-ignored',
      wrong: 'A socket connects to an address of its blockList.',
      file: REACH,
      find: 'if (blockList === undefined) return addresses;',
      replace: 'return addresses;',
    },
    {
      id: 'net-onread-never-pauses',
      wrong: 'A callback of onread that says false is called on.',
      file: 'net/read-into',
      find: '=== false) this.#isStopped = true;',
      replace: '=== false) this.#isStopped = false;',
      judges: ['test/net/flow'],
    },
    {
      id: 'net-attempt-told-to-one',
      wrong: 'Of the sockets that wait for one connection the first alone hears of the attempt.',
      file: POOL,
      find: '    if (this.#address !== undefined) watcher.onAttempt(this.#address);\n',
      replace: '',
    },
    {
      id: 'rsocket-greeting-cut-short',
      wrong: 'An rsocket begins with the first byte of the greeting.',
      file: 'net/rsocket/fork-greeting',
      find: 'greeting.length === GREETING_BYTES',
      replace: 'greeting.length > 0',
      judges: ['test/net/rsocket/fork-greeting'],
    },
    {
      id: 'rsocket-no-patience',
      wrong: 'A server whose process was late rejects the client that waits longest.',
      file: 'net/rsocket/rsocket-transport',
      find: 'const PATIENCE_STEPS = 100;',
      replace: 'const PATIENCE_STEPS = 1;',
      judges: ['test/net/rsocket/transport'],
    },
  ],
);
