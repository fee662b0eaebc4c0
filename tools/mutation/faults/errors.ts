/** Faults of what errors say: whether another try makes sense, that a server closed before TLS, what a failed proof means to bench. */
import { faultsOf } from '../fault-list.js';

const KINDS = 'verbs/refusal-kind';
const BENCH = 'cli/bench/bench-end';
const ERRORS = ['test/verbs/errors'];
const CLIENT = ['test/session/tls-client'];

export const ERROR_FAULTS = faultsOf('session', ERRORS, [
  {
    id: 'full-server-is-final',
    wrong: 'A server that closed before TLS, because it takes no more, is not worth another try.',
    file: KINDS,
    find: "  'before-tls',\n  'overload',\n",
    replace: "  'overload',\n",
    judges: [...ERRORS, ...CLIENT],
  },
  {
    id: 'certificate-passes',
    wrong: 'A certificate that was refused is said to be worth another try.',
    file: KINDS,
    find: 'const PASSING: readonly RefusalKind[] = [\n',
    replace: "const PASSING: readonly RefusalKind[] = [\n  'certificate',\n",
  },
  {
    id: 'refusal-says-nothing',
    wrong: 'Whether another try makes sense is said by the code alone, whatever the server has said.',
    file: KINDS,
    find: '  if (error.refusal !== undefined) return PASSING.includes(error.refusal);\n',
    replace: '',
  },
  {
    id: 'completion-passes',
    wrong: 'A request that the peer refused is said to be worth another try.',
    file: KINDS,
    find: "return error.fault === 'network';",
    replace: 'return true;',
  },
  {
    id: 'unknown-outcome-passes',
    wrong: 'A request that may have been carried out is said to be worth another try.',
    file: KINDS,
    find: "  'ERR_RDMA_QUEUE_FULL',\n  'ERR_RDMA_NO_MEMORY',\n",
    replace: "  'ERR_RDMA_OUTCOME_UNKNOWN',\n  'ERR_RDMA_QUEUE_FULL',\n  'ERR_RDMA_NO_MEMORY',\n",
  },
  {
    id: 'limit-is-final',
    wrong: 'A limit that passes is said to be final.',
    file: KINDS,
    find: "  'ERR_RDMA_LIMIT',\n  'ERR_RDMA_TIMEOUT',\n",
    replace: "  'ERR_RDMA_TIMEOUT',\n",
  },
  {
    id: 'before-tls-unnamed',
    wrong: 'A server that closed before TLS is not told from a network that failed.',
    file: 'session/tls-errors',
    find: "{ refusal: 'before-tls', cause },",
    replace: '{ cause },',
    judges: CLIENT,
  },
  {
    id: 'amid-tls-is-before',
    wrong: 'A server that hung up amid TLS is taken for a full one.',
    file: 'session/tls-client',
    find: '      isUnanswered = false;\n',
    replace: '',
    judges: CLIENT,
  },
  {
    id: 'no-tcp-is-before-tls',
    wrong: 'A server that is not there is taken for a full one.',
    file: 'session/tls-client',
    find: 'let isUnanswered = false;',
    replace: 'let isUnanswered = true;',
    judges: CLIENT,
  },
  {
    id: 'full-server-not-tried-again',
    wrong: 'A connection that recovers gives up when its server is full for a moment.',
    file: 'connection/lifeline/lifeline-recovery',
    find: " || refusal === 'before-tls'",
    replace: '',
    judges: ['test/connection/lifeline-machine'],
  },
  {
    id: 'bench-proof-not-awaited',
    wrong: 'The benchmark measures on a path that nothing has proven.',
    file: BENCH,
    find: '() => proof.isComplete,',
    replace: '() => true,',
    judges: ['test/cli/bench'],
  },
  {
    id: 'bench-proof-unexplained',
    wrong: 'The benchmark tells that a queue pair failed, and not that UDP does not come through.',
    file: BENCH,
    find: 'proof.begin(met)',
    replace: '() => {}',
    judges: ['test/cli/bench'],
  },
]);
