/** Faults of the control channel and of the order of a session. */
import { faultsOf } from '../fault-list.js';
import { SESSION_JUDGES } from '../judge-lists.js';

const PROOF = ['test/session/proof'];

export const SESSION_FAULTS = faultsOf('session', SESSION_JUDGES, [
  {
    id: 'second-psn',
    wrong: 'A second PSN of the peer counts.',
    file: 'session/handshake',
    find: 'if (this.#state !== HandshakeState.PSN) return undefined;',
    replace: 'if (this.#over) return undefined;',
    judges: [
      'test/session/handshake',
      'test/session/frames',
      'test/session/frame-decoder',
      'test/session/control-channel',
      'fuzz:frames',
    ],
  },
  {
    id: 'second-parameters',
    wrong: 'Parameters of the peer count twice.',
    file: 'session/handshake',
    find: `    if (this.#peerParameters !== undefined) return undefined;
`,
    replace: '',
  },
  {
    id: 'ready-before-transitions',
    wrong: 'The frame `ready` counts before the parameters were exchanged.',
    file: 'session/handshake',
    find: 'if (this.#state !== HandshakeState.TRANSITIONS && this.#state !== HandshakeState.READY) return undefined;',
    replace: 'if (this.#over) return undefined;',
  },
  {
    id: 'second-ready',
    wrong: 'The frame `ready` counts twice.',
    file: 'session/handshake',
    find: `    if (this.#peerReady) return undefined;
`,
    replace: '',
  },
  {
    id: 'psns-exchanged',
    wrong: 'The own path and that of the peer change places.',
    file: 'session/handshake',
    find: 'attributes: { own, peer, terms }',
    replace: 'attributes: { own: peer, peer: own, terms }',
  },
  {
    id: 'established-alone',
    wrong: 'A side is established before the peer is ready.',
    file: 'session/handshake',
    find: `this.#state = this.#peerReady ? HandshakeState.ESTABLISHED : HandshakeState.READY;
    return { send, event: this.#peerReady ? { type: 'established' } : undefined };`,
    replace: `this.#state = HandshakeState.ESTABLISHED;
    return { send, event: { type: 'established' } };`,
  },
  {
    id: 'ping-unanswered',
    wrong: 'A ping during the handshake gets no answer.',
    file: 'session/handshake',
    find: "return { send: [{ type: 'pong' }], event: undefined };",
    replace: 'return NOTHING;',
  },
  {
    id: 'violation-goes-on',
    wrong: 'A session goes on after a frame out of order.',
    file: 'session/handshake',
    find: `    const event = this.#violation(frame);
    this.#state = HandshakeState.FAILED;`,
    replace: '    const event = this.#violation(frame);',
  },
  {
    id: 'unfinished-session-unknown',
    wrong: 'A step that fails leaves the channel open.',
    file: 'session/establish-session',
    find: `    channel.fail(failure, \`the \${channel.role} could not set up its queue pair\`);
`,
    replace: '',
  },
  {
    id: 'binding-unchecked',
    wrong: 'Parameters of another session are taken.',
    file: 'session/establish-session',
    find: 'if (isBound(channel, psn, { path, terms }, binding)) return;',
    replace: 'if (psn >= 0) return;',
  },
  {
    id: 'awaited-frames-unbounded',
    wrong: 'Frames that nobody awaits pile up.',
    file: 'session/control-channel',
    find: 'if (this.#incoming.length >= MAX_AWAITED_FRAMES) {',
    replace: 'if (false) {',
  },
  {
    id: 'paused-for-ever',
    wrong: 'A socket that was paused is never read again.',
    file: 'session/control-channel',
    find: `        if (this.#socket.isPaused()) this.#socket.resume();
`,
    replace: '',
  },
  {
    id: 'unsent-unbounded',
    wrong: 'A peer that does not read costs memory without limit.',
    file: 'session/control-channel',
    find: 'if (this.#socket.writableLength > MAX_UNSENT_BYTES) {',
    replace: 'if (false) {',
  },
  {
    id: 'deadline-runs-on',
    wrong: 'The deadline of the handshake runs on after it.',
    file: 'session/control-channel',
    find: `  handshakeDone(): void {
    this.#deadline.disarm();`,
    replace: '  handshakeDone(): void {',
  },
  {
    id: 'sessions-not-counted',
    wrong: 'The sessions of a channel are not counted.',
    file: 'session/control-channel',
    find: `    this.#sessions++;
`,
    replace: '',
  },
  {
    id: 'frames-before-fault-kept',
    wrong: 'Frames that came before a fault are still delivered.',
    file: 'session/control-channel',
    find: "const kept = this.#incoming.filter(({ type }) => type === 'proven');",
    replace: 'const kept = [...this.#incoming];',
  },
  {
    id: 'word-before-fault-lost',
    wrong: 'That a peer was proven is forgotten when it fails.',
    file: 'session/control-channel',
    find: "const kept = this.#incoming.filter(({ type }) => type === 'proven');",
    replace: 'const kept: Frame[] = [];',
    judges: PROOF,
  },
  {
    id: 'last-reason-wins',
    wrong: 'The last reason for the end of a channel wins.',
    file: 'session/control-channel',
    find: `  #finish(end: ChannelEnd): void {
    if (this.#end !== undefined) return;`,
    replace: `  #finish(end: ChannelEnd): void {
    if (this.#end !== undefined && end.error === undefined) return;`,
  },
  {
    id: 'linger-for-ever',
    wrong: 'A peer that does not close its side keeps the socket.',
    file: 'session/control-channel',
    find: `    this.#lingerTimer = setTimeout(() => this.#socket.destroy(), this.#lingerMillis);
`,
    replace: '',
    judges: ['test/session/tls-refusal'],
  },
  {
    id: 'bye-ends-nothing',
    wrong: 'The `bye` of the peer does not end the channel.',
    file: 'session/control-channel',
    find: `    if (frame.type === 'bye') this.#finish(endOf(frame));
`,
    replace: '',
  },
  {
    id: 'peer-names-refusal',
    wrong: 'A client chooses the kind under which its end is counted.',
    file: 'session/control-channel',
    find: "this.role === 'client' ? toldRefusalKind(code) : 'left'",
    replace: 'toldRefusalKind(code)',
  },
  {
    id: 'exporter-after-end',
    wrong: 'Keys can be derived after the channel has ended.',
    file: 'session/control-channel',
    find: `    if (this.#end !== undefined) throw this.#endError();
    return this.#socket.exportKeyingMaterial`,
    replace: '    return this.#socket.exportKeyingMaterial',
  },
  {
    id: 'two-receives',
    wrong: 'Two may wait for the same frame.',
    file: 'session/control-channel',
    find: '    if (this.#waiter !== undefined) {',
    replace: '    if (false) {',
  },
  {
    id: 'proof-not-asked-for',
    wrong: 'A session is established before its link is proven.',
    file: 'session/establish-session',
    find: `      if (steps.prove !== undefined) await untilProven(channel, steps.prove(attributes), steps.peerHas);
`,
    replace: `      if (steps.prove !== undefined) void untilProven(channel, steps.prove(attributes), steps.peerHas).catch(() => {});
`,
    judges: ['test/session/establish-session', 'test/connection/link-proof'],
  },
  {
    id: 'deadline-ends-before-proof',
    wrong: 'The deadline of the handshake ends before the link is proven.',
    file: 'session/establish-session',
    find: 'channel.sessionMet();',
    replace: 'channel.sessionMet();\n      channel.handshakeDone();',
    judges: ['test/session/establish-session', 'test/connection/link-proof'],
  },
]);
