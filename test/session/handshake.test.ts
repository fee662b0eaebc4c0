import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import type { Frame, FrameType } from '../../src/session/frames.js';
import { Handshake, type HandshakeEvent, type HandshakeStep } from '../../src/session/handshake.js';
import type { RdmaError } from '../../src/verbs/errors.js';
import { PARAMETERS, PSN_A, PSN_B } from './support.js';

const FRAMES: Readonly<Record<FrameType, Frame>> = {
  psn: { type: 'psn', psn: PSN_B },
  parameters: { type: 'parameters', ...PARAMETERS },
  ready: { type: 'ready' },
  proven: { type: 'proven' },
  arrived: { type: 'arrived', messages: 1 },
  resume: { type: 'resume', token: 'ab'.repeat(32) },
  leave: { type: 'leave' },
  ping: { type: 'ping' },
  pong: { type: 'pong' },
  error: { type: 'error', code: 'some_code', message: 'some message' },
  bye: { type: 'bye', reason: 'some reason' },
};
const TYPES = Object.keys(FRAMES) as FrameType[];

type Move = (handshake: Handshake) => HandshakeStep;
const receive =
  (type: FrameType): Move =>
  (handshake) =>
    handshake.receive(FRAMES[type]);
const setParameters: Move = (handshake) => handshake.setLocalParameters(PARAMETERS);
const setReady: Move = (handshake) => handshake.setReady();

/** How to get into each situation, and which of the frames that have an order may come then. */
const SITUATIONS: readonly { name: string; state: string; moves: Move[]; accepts: FrameType[] }[] = [
  { name: 'just started', state: 'psn', moves: [], accepts: ['psn'] },
  { name: 'making objects', state: 'objects', moves: [receive('psn')], accepts: ['parameters'] },
  {
    name: 'making objects, with early parameters',
    state: 'objects',
    moves: [receive('psn'), receive('parameters')],
    accepts: [],
  },
  {
    name: 'waiting for parameters',
    state: 'parameters',
    moves: [receive('psn'), setParameters],
    accepts: ['parameters'],
  },
  {
    name: 'in transitions',
    state: 'transitions',
    moves: [receive('psn'), setParameters, receive('parameters')],
    accepts: ['ready'],
  },
  {
    name: 'in transitions, with an early ready',
    state: 'transitions',
    moves: [receive('psn'), receive('parameters'), setParameters, receive('ready')],
    accepts: [],
  },
  {
    name: 'waiting for ready',
    state: 'ready',
    moves: [receive('psn'), setParameters, receive('parameters'), setReady],
    accepts: ['ready'],
  },
  {
    name: 'established',
    state: 'established',
    moves: [receive('psn'), setParameters, receive('parameters'), setReady, receive('ready')],
    accepts: [],
  },
];

function inSituation(moves: readonly Move[], role: 'server' | 'client' = 'server'): Handshake {
  const handshake = new Handshake(role, PSN_A);
  handshake.start();
  for (const move of moves) move(handshake);
  return handshake;
}

test('both sides send their PSN at once, before anything was received', () => {
  for (const role of ['server', 'client'] as const) {
    const step = new Handshake(role, PSN_A).start();
    assert.deepEqual(step, { send: [{ type: 'psn', psn: PSN_A }], event: undefined });
  }
});

test('the steps come in the order of the design, each with what it needs', () => {
  const handshake = new Handshake('client', PSN_A);
  assert.equal(handshake.state, 'psn');
  handshake.start();
  assert.deepEqual(handshake.receive(FRAMES.psn), { send: [], event: { type: 'create-objects' } });
  assert.equal(handshake.state, 'objects');
  assert.deepEqual(handshake.setLocalParameters(PARAMETERS), { send: [FRAMES.parameters], event: undefined });
  assert.equal(handshake.state, 'parameters');
  const { path, terms } = PARAMETERS;
  const attributes = { own: { ...path, psn: PSN_A }, peer: { ...path, psn: PSN_B }, terms };
  assert.deepEqual(handshake.receive(FRAMES.parameters), {
    send: [],
    event: { type: 'transition', attributes, binding: undefined },
  });
  assert.equal(handshake.state, 'transitions');
  assert.deepEqual(handshake.setReady(), { send: [FRAMES.ready], event: undefined });
  assert.equal(handshake.state, 'ready');
  assert.deepEqual(handshake.receive(FRAMES.ready), { send: [], event: { type: 'established' } });
  assert.equal(handshake.state, 'established');
  assert.deepEqual(handshake.close('done'), { send: [{ type: 'bye', reason: 'done' }], event: undefined });
  assert.equal(handshake.state, 'closed');
});

for (const { name, state, moves, accepts } of SITUATIONS) {
  test(`${name}: a frame out of order is a violation with a clear reason, and ends the session`, () => {
    assert.equal(inSituation(moves).state, state);
    for (const type of ['psn', 'parameters', 'ready', 'proven', 'arrived', 'resume'] as const) {
      const handshake = inSituation(moves);
      const { send, event } = handshake.receive(FRAMES[type]);
      if (accepts.includes(type)) {
        assert.notEqual(event?.type, 'violation');
        assert.deepEqual(send, []);
        continue;
      }
      assert.ok(event?.type === 'violation', `${type} was accepted`);
      assert.equal(event.reason, 'unexpected_frame');
      assert.match(event.message, new RegExp(`^the client sent "${type}", but in state "${state}" `));
      const answer = { type: 'error', code: 'protocol', message: `unexpected_frame: ${event.message}` };
      assert.deepEqual(send, [answer]);
      assert.equal(handshake.state, 'failed');
    }
  });

  test(`${name}: a ping is answered, a pong is taken, and neither changes anything`, () => {
    const handshake = inSituation(moves);
    assert.deepEqual(handshake.receive(FRAMES.ping), { send: [FRAMES.pong], event: undefined });
    assert.deepEqual(handshake.receive(FRAMES.pong), { send: [], event: undefined });
    assert.equal(handshake.state, state);
  });

  test(`${name}: bye closes and error fails`, () => {
    const closing = inSituation(moves);
    assert.deepEqual(closing.receive(FRAMES.bye).event, { type: 'closed', reason: 'some reason' });
    assert.equal(closing.state, 'closed');
    const failing = inSituation(moves);
    const refused = { type: 'refused', code: 'some_code', message: 'some message' };
    assert.deepEqual(failing.receive(FRAMES.error).event, refused);
    assert.equal(failing.state, 'failed');
  });

  test(`${name}: steps of our own out of order are refused as misuse`, () => {
    const misuse = { code: 'ERR_RDMA_INVALID_STATE' };
    const handshake = inSituation(moves);
    assert.throws(() => handshake.start(), misuse);
    if (state !== 'objects') assert.throws(() => handshake.setLocalParameters(PARAMETERS), misuse);
    if (state !== 'transitions') assert.throws(() => handshake.setReady(), misuse);
    assert.equal(handshake.state, state, 'misuse changes nothing');
  });
}

test('a session that is over answers nothing, whatever comes', () => {
  const over: Move[] = [receive('bye'), receive('error'), (h) => h.close(), (h) => h.fail('internal', 'm')];
  for (const end of over) {
    for (const type of TYPES) {
      const handshake = inSituation([receive('psn'), end]);
      const { state } = handshake;
      const step = handshake.receive(FRAMES[type]);
      assert.deepEqual(step.send, []);
      assert.equal(step.event?.type, 'violation');
      assert.deepEqual(
        [handshake.close(), handshake.fail('internal', 'm')].flatMap((ended) => ended.send),
        [],
      );
      assert.equal(handshake.state, state);
    }
  }
});

test('receiving before start() is misuse', () => {
  assert.throws(() => new Handshake('client', PSN_A).receive(FRAMES.psn), { code: 'ERR_RDMA_INVALID_STATE' });
});

test('no PSN shows in inspect, JSON, violations or misuse', () => {
  const texts: string[] = [];
  for (const { moves } of SITUATIONS) {
    const handshake = inSituation(moves);
    texts.push(inspect(handshake, { depth: 9, showHidden: true }), JSON.stringify(handshake));
    for (const move of [setParameters, setReady, (h: Handshake) => h.start()]) {
      try {
        move(inSituation(moves));
      } catch (error) {
        texts.push(inspect(error), (error as RdmaError).message);
      }
    }
    for (const type of TYPES) {
      const { event } = inSituation(moves).receive(FRAMES[type]);
      if (event?.type === 'violation') texts.push(inspect(event));
    }
  }
  const forms = [PSN_A, PSN_B].flatMap((psn) => [String(psn), psn.toString(16)]);
  for (const text of texts) for (const form of forms) assert.ok(!text.toLowerCase().includes(form), text);
});

/** One side with its inbox and the step of its own that it has yet to do. */
class Side {
  readonly inbox: Frame[] = [];
  readonly seen: string[] = [];
  todo: (() => HandshakeStep) | undefined;
  peer: Side | undefined;

  constructor(readonly handshake: Handshake) {}

  take({ send, event }: HandshakeStep): void {
    this.peer?.inbox.push(...send);
    if (event === undefined) return;
    this.seen.push(event.type);
    this.todo = this.ownStep(event);
  }

  ownStep(event: HandshakeEvent): (() => HandshakeStep) | undefined {
    if (event.type === 'create-objects') return () => this.handshake.setLocalParameters(PARAMETERS);
    if (event.type === 'transition') return () => this.handshake.setReady();
    return undefined;
  }

  /** Whatever this side could do next. */
  get moves(): (() => void)[] {
    const moves: (() => void)[] = [];
    const { todo } = this;
    if (todo !== undefined) {
      moves.push(() => {
        this.todo = undefined;
        this.take(todo());
      });
    }
    const frame = this.inbox[0];
    if (frame !== undefined) {
      moves.push(() => {
        this.inbox.shift();
        this.take(this.handshake.receive(frame));
      });
    }
    return moves;
  }
}

test('two honest sides get established in every order in which delays can put their steps', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(3)), (choices) => {
      const server = new Side(new Handshake('server', PSN_A));
      const client = new Side(new Handshake('client', PSN_B));
      server.peer = client;
      client.peer = server;
      server.take(server.handshake.start());
      client.take(client.handshake.start());
      for (let step = 0; step < 40; step += 1) {
        const moves = [...server.moves, ...client.moves];
        if (moves.length === 0) break;
        moves[choices.next().value % moves.length]?.();
      }
      for (const side of [server, client]) {
        assert.deepEqual(side.seen, ['create-objects', 'transition', 'established']);
        assert.equal(side.handshake.state, 'established');
        assert.deepEqual(side.inbox, []);
      }
    }),
    { numRuns: 500 },
  );
});
