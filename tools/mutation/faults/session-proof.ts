/** Faults of the course of a proof over the control channel. */
import { faultsOf } from '../fault-list.js';
import { SESSION_JUDGES } from '../judge-lists.js';

const PROOF = ['test/session/proof'];

export const SESSION_PROOF_FAULTS = faultsOf('session', SESSION_JUDGES, [
  {
    id: 'own-proof-untold',
    wrong: 'A peer is not told that this end has its proof.',
    file: 'session/proof',
    find: `    if (this.#channel.end === undefined) this.#channel.send({ type: 'proven' });
`,
    replace: '',
    judges: PROOF,
  },
  {
    id: 'own-proof-over-lost-channel',
    wrong: 'An end says that it has its proof to a peer that has left.',
    file: 'session/proof',
    find: 'if (this.#channel.end === undefined) this',
    replace: 'this',
    judges: PROOF,
    equivalent: 'the goodbye is read first, and ends the wait',
  },
  {
    id: 'word-of-peer-is-enough',
    wrong: 'The word of the peer is taken for a proof of both directions.',
    file: 'session/proof',
    find: 'Promise.all([own.then(() => course.onOwn()), course.word])',
    replace: 'Promise.race([own.then(() => course.onOwn()).then(() => course.word), course.word])',
    judges: ['test/session/proof', 'test/connection/link-proof'],
  },
  {
    id: 'own-proof-is-enough',
    wrong: 'The own proof is taken for one of both directions.',
    file: 'session/proof',
    find: 'Promise.all([own.then(() => course.onOwn()), course.word])',
    replace: 'own.then(() => course.onOwn())',
    judges: ['test/session/proof', 'test/connection/link-proof'],
  },
  {
    id: 'lost-word-ends-connection',
    wrong: 'A session that is lost on the way of the last word ends a connection that the peer takes for up.',
    file: 'session/proof',
    find: "if (channel.role === 'server' || !course.hasOwn || !isLost(channel)) throw error;",
    replace: 'throw error;',
    judges: PROOF,
  },
  {
    id: 'lost-session-is-proof',
    wrong: 'A session that is lost before the own proof counts as proven.',
    file: 'session/proof',
    find: "if (channel.role === 'server' || !course.hasOwn || !isLost(channel)) throw error;",
    replace: "if (channel.role === 'server' || !isLost(channel)) throw error;",
    judges: PROOF,
  },
  {
    id: 'ended-session-is-proof',
    wrong: 'A session that either side has ended counts as proven.',
    file: 'session/proof',
    find: "if (channel.role === 'server' || !course.hasOwn || !isLost(channel)) throw error;",
    replace: "if (channel.role === 'server' || !course.hasOwn) throw error;",
    judges: PROOF,
  },
  {
    id: 'lost-word-of-client-is-proof',
    wrong: 'A server takes a client for up that it has lost before its word.',
    file: 'session/proof',
    find: "if (channel.role === 'server' || !course.hasOwn",
    replace: 'if (!course.hasOwn',
    judges: PROOF,
  },
  {
    id: 'proof-failure-hidden',
    wrong: 'An own proof that fails is taken for one.',
    file: 'session/proof',
    find: 'own.then(() => course.onOwn())',
    replace: 'own.catch(() => {}).then(() => course.onOwn())',
    judges: PROOF,
  },
  {
    id: 'proof-reads-on',
    wrong: 'After the proof one more frame is taken from the next reader.',
    file: 'session/proof',
    find: `      if (this.isOver) return;
`,
    replace: '',
    judges: PROOF,
  },
  {
    id: 'word-reads-on',
    wrong: 'A proof that the word of the peer completes takes one more frame from the next reader.',
    file: 'session/proof',
    find: '    this.isOver = this.hasOwn;\n',
    replace: '',
    judges: PROOF,
    equivalent: 'the proof is over before the next frame is looked at',
  },
  {
    id: 'own-proof-reads-on',
    wrong: 'A proof that the own one completes takes one more frame from the next reader.',
    file: 'session/proof',
    find: '    this.isOver = this.#hasWord;\n',
    replace: '',
    judges: PROOF,
    equivalent: 'the proof is over before the next frame can come',
  },
  {
    id: 'second-word-taken',
    wrong: 'A peer may say twice that it has its proof.',
    file: 'session/proof',
    find: "type === 'proven' && !this.#hasWord;",
    replace: "type === 'proven';",
    judges: PROOF,
  },
  {
    id: 'psn-taken-by-proof',
    wrong: 'The PSN with which a peer starts over is taken from the next session.',
    file: 'session/proof',
    find: `      if (type === 'psn' || type === 'bye') {
`,
    replace: `      if (type === 'psn' || type === 'bye') {
        await channel.receive();
`,
    judges: PROOF,
  },
  {
    id: 'start-over-is-breach',
    wrong: 'A peer that starts over before the proof breaks the protocol.',
    file: 'session/proof',
    find: "if (type === 'psn' || type === 'bye')",
    replace: "if (type === 'bye')",
    judges: PROOF,
  },
  {
    id: 'bye-before-proof-is-breach',
    wrong: 'A peer that says bye before the proof breaks the protocol.',
    file: 'session/proof',
    find: "if (type === 'psn' || type === 'bye')",
    replace: "if (type === 'psn')",
    judges: PROOF,
  },
  {
    id: 'any-frame-before-proof',
    wrong: 'Any frame may come before the proof.',
    file: 'session/proof',
    find: "      if (!isWord && !isCourse && type !== 'ping' && type !== 'pong') throw unexpected(channel, type);\n",
    replace: '',
    judges: PROOF,
  },
  {
    id: 'breach-before-proof-untold',
    wrong: 'A peer that breaks the protocol before the proof is not told.',
    file: 'session/proof',
    find: `  channel.fail(error, what);
`,
    replace: '',
    judges: PROOF,
  },
  {
    id: 'ping-before-proof-unanswered',
    wrong: 'A ping before the proof gets no answer.',
    file: 'session/proof',
    find: `      if (type === 'ping') channel.send({ type: 'pong' });
`,
    replace: '',
    judges: PROOF,
  },
  {
    id: 'any-word-is-proof',
    wrong: 'Any frame of the peer is taken for its proof.',
    file: 'session/proof',
    find: 'if (isWord) this.#heardWord();',
    replace: 'this.#heardWord();',
    judges: PROOF,
  },
]);
