/** Faults of the proof that a link carries packets, and of what is said when it does not. */
import { faultsOf } from '../fault-list.js';

const PROOF = 'connection/link-proof';
const PATH = 'connection/data-path';

export const PROOF_FAULTS = faultsOf(
  'connection',
  ['test/connection/link-proof', 'test/connection/recovery', 'connections:1..100'],
  [
    {
      id: 'failed-message-proves',
      wrong: 'A first message that failed is taken for a proof.',
      file: PROOF,
      find: `      this.fail(error);
      return;
`,
      replace: '',
    },
    {
      id: 'proof-never-failed',
      wrong: 'Whoever waits for the proof of a link that ended waits for ever.',
      file: PROOF,
      find: '    for (const { reject } of Object.values(this.#sent)) reject(error);\n',
      replace: '',
    },
    {
      id: 'proof-unhandled',
      wrong: 'A link that ends before anybody waits for its proof ends the process.',
      file: PROOF,
      find: 'promise.catch(() => {});',
      replace: 'void promise;',
    },
    {
      id: 'proof-unknown',
      wrong: 'A link that was proven does not count as such.',
      file: PROOF,
      find: "    if (size === 'full') this.#isProven = true;\n",
      replace: '',
    },
    {
      id: 'proven-from-start',
      wrong: 'A link counts as proven before it is.',
      file: PROOF,
      find: '#isProven = false;',
      replace: '#isProven = true;',
    },
    {
      id: 'part-of-proof-is-progress',
      wrong: "The peer's part of the proof is progress.",
      file: PROOF,
      find: '#arrived = 0;',
      replace: '#arrived = MESSAGES;',
    },
    {
      id: 'nothing-is-progress',
      wrong: 'What arrives after the proof is no progress.',
      file: PROOF,
      find: '    this.#arrived++;\n',
      replace: '',
    },
    {
      id: 'proof-not-awaited',
      wrong: 'A small packet counts as posted for one that came through.',
      file: PATH,
      find: "    await proof.until('small');\n",
      replace: '',
    },
    {
      id: 'full-proof-not-awaited',
      wrong: 'A link counts as proven when small packets come through.',
      file: PATH,
      find: "await this.#proof.until('full');",
      replace: 'return;',
    },
    {
      id: 'full-proof-small',
      wrong: 'The second message of the proof is as small as the first.',
      file: PATH,
      find: 'Math.min(this.#pathMtu, receive.slotBytes)',
      replace: 'this.#bareBytes',
    },
    {
      id: 'proof-of-lost-link-kept',
      wrong: 'A link that fails does not end the wait for its proof.',
      file: PATH,
      find: '        proof.fail(error);\n',
      replace: '',
    },
    {
      id: 'proof-of-ended-link-kept',
      wrong: 'A link that is ended does not end the wait for its proof.',
      file: PATH,
      find: '    this.#proof.fail(cause);\n',
      replace: '',
      equivalent: 'the work of a link ends with it, the first message among it, and its end fails the proof',
    },
    {
      id: 'proof-is-progress',
      wrong: 'The answer to the proof is progress.',
      file: PATH,
      find: 'if (proof.isProven) this.listener?.onProgress();',
      replace: 'this.listener?.onProgress();',
    },
    {
      id: 'arrival-is-progress',
      wrong: "The peer's first message is progress.",
      file: PATH,
      find: 'if (proof.onArrived()) this.listener?.onProgress();',
      replace: 'this.listener?.onProgress();',
    },
    {
      id: 'proof-names-old-number',
      wrong: 'The proof of a later link has the number of the first fragment.',
      file: PATH,
      find: 'const fields = { flags: 0, sequence, limit',
      replace: 'const fields = { flags: 0, sequence: 0, limit',
    },
    {
      id: 'proof-unsealed',
      wrong: 'The proof of an encrypted connection is not sealed.',
      file: PATH,
      find: 'this.#sealer?.seal(mr.bytes.subarray(offset, offset + HEADER_BYTES), padding, body);',
      replace: '',
      judges: ['test/connection/encryption', 'test/connection/link-proof'],
    },
  ],
);
