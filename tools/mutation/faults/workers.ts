/** Faults of servers whose connections are in worker threads. */
import { faultsOf } from '../fault-list.js';

export const WORKER_FAULTS = faultsOf(
  'connection',
  ['test/connection/workers-failures', 'test/connection/workers'],
  [
    {
      id: 'worker-losses-during-start-forgotten',
      wrong: 'A worker that dies while others begin is never replaced.',
      file: 'connection/workers/worker-host',
      find: 'seat.hasBegun = true;',
      replace: '',
    },
    {
      id: 'worker-start-unbounded',
      wrong: 'A module that is never loaded holds up the start for ever.',
      file: 'connection/workers/worker-thread',
      find: '}, startMillis);',
      replace: '}, startMillis * 1e6);',
      judges: ['test/connection/workers-failures'],
    },
    {
      id: 'worker-replaced-while-closing',
      wrong: 'A worker that dies while its server closes is replaced.',
      file: 'connection/workers/worker-host',
      find: 'this.#isEnding ? null : seat.pause.afterDeath(livedMillis)',
      replace: 'seat.pause.afterDeath(livedMillis)',
    },
    {
      id: 'worker-all-in-one',
      wrong: 'All connections go to the last worker.',
      file: 'connection/workers/worker-host',
      find: 'thread.connections < best.connections ||',
      replace: 'thread.connections >= best.connections ||',
      judges: ['test/connection/workers'],
    },
    {
      id: 'worker-keys-withheld',
      wrong: 'A worker gets no keys for a sealed connection.',
      file: 'connection/workers/worker-plane',
      find: 'const isEncrypted = this.#options.encrypts || terms.encryption !== undefined;',
      replace: 'const isEncrypted = false;',
      judges: ['test/connection/workers'],
    },
    {
      id: 'worker-loss-told-as-another-end',
      wrong: 'Clients of a dead worker are not told that it died.',
      file: 'connection/workers/distant-place',
      find: 'this.#lifeline?.abort(error);\n    this.plane.lose(error);',
      replace:
        "this.#lifeline?.abort(new RdmaError('ERR_RDMA_ABORTED', 'over'));\n    this.plane.lose(error);",
      judges: ['test/connection/workers'],
    },
    {
      id: 'worker-grants-outlive-it',
      wrong: 'Grants of a dead worker seem to be open.',
      file: 'connection/workers/distant-place',
      find: "this.#connection?.lose('the worker has died');",
      replace: '',
      judges: ['test/connection/workers'],
    },
    {
      id: 'worker-alive-told-late',
      wrong: 'That a connection lives is told when something else is, and never by itself.',
      file: 'connection/workers/signs-of-life',
      find: 'if (this.#timer === undefined) return;',
      replace: 'if (this.#timer !== undefined) return;',
      judges: ['test/connection/signs-of-life', 'test/connection/workers'],
    },
    {
      id: 'worker-final-count-untold',
      wrong: 'What a connection counted at its end is not told.',
      file: 'connection/workers/worked-connection',
      find: 'if (counted !== undefined) this.#post',
      replace: 'if (counted === undefined) this.#post',
      judges: ['test/connection/workers'],
    },
    {
      id: 'worker-lent-memory-unshared',
      wrong: 'The main thread sees a copy of the memory that a worker lends.',
      file: 'connection/workers/distant-place',
      find: 'sharesBuffer: true',
      replace: 'sharesBuffer: false',
      judges: ['test/connection/workers'],
    },
  ],
);
