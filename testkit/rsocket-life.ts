/**
 * A life of two rsocket machines, drawn from a seed: odd sizes, bytes both ways in odd pieces, ends at any moment, messages
 * and acknowledgements that take their time, and peers that give the queue pair up with what is under way. Throws where
 * something does not hold that must.
 */
import { Random } from './random.js';
import { type RsocketEnd, RsocketPair, type RsocketSizes } from './rsocket-pair.js';

const MAX_STEPS = 3000;

/** What one end means to do, and how far it has come. */
class Program {
  readonly end: RsocketEnd;
  readonly text: Uint8Array;
  readonly got: Uint8Array[] = [];
  written = 0;
  isEnded = false;
  isClosed = false;

  constructor(end: RsocketEnd, text: Uint8Array) {
    this.end = end;
    this.text = text;
  }

  write(most: number): void {
    if (this.isEnded) return;
    this.written += this.end.write(this.text.subarray(this.written, this.written + most));
  }

  read(most: number): void {
    if (this.isClosed) return;
    const bytes = this.end.read(most);
    if (bytes.length > 0) this.got.push(bytes);
  }

  endWriting(): void {
    this.isEnded = true;
    this.end.machine.endWriting();
  }

  close(): void {
    this.isEnded = true;
    this.isClosed = true;
    this.end.machine.close();
  }
}

export interface RsocketLife {
  /** Messages that arrived. */
  readonly messages: number;
  /** Names of what happened in it, for those who want to know that a long run has seen everything. */
  readonly marks: ReadonlyMap<string, number>;
}

/** `maxSteps` cuts it short; then both ends come to their end. */
export function liveRsocket(seed: number, maxSteps = MAX_STEPS): RsocketLife {
  const random = new Random(seed);
  const pair = new RsocketPair(sizes(random), sizes(random));
  const programs = [pair.a, pair.b].map((end) => new Program(end, text(random))) as [Program, Program];
  const marks = new Map<string, number>();
  let messages = 0;
  const deliver = (end: RsocketEnd): void => {
    messages += Math.min(1, end.underway.length);
    pair.deliver(end);
  };
  const steps = Math.min(random.int(0, MAX_STEPS), maxSteps);
  const leaver = leaverOf(random, programs);
  for (let step = 0; step < steps; step++) {
    const program = random.pick(programs);
    act(random, pair, program, deliver, marks);
    check(programs);
    if (leaver?.leaves() !== true) continue;
    leave(random, pair, leaver.program, deliver);
    check(programs);
    judgeLeft(programs, leaver.program, marks);
    return { messages, marks };
  }
  drain(pair, programs, deliver);
  judge(programs, marks);
  return { messages, marks };
}

function act(
  random: Random,
  pair: RsocketPair,
  program: Program,
  deliver: (end: RsocketEnd) => void,
  marks: Map<string, number>,
): void {
  const { end } = program;
  switch (random.weighted({ post: 8, deliver: 8, acknowledge: 8, write: 6, read: 6, rare: 1 })) {
    case 'post':
      end.post();
      break;
    case 'deliver':
      deliver(end);
      break;
    case 'acknowledge':
      pair.acknowledge(end);
      break;
    case 'write':
      program.write(random.int(1, random.oneIn(4) ? 4000 : 60));
      break;
    case 'read':
      program.read(random.int(1, random.oneIn(4) ? 4000 : 60));
      break;
    case 'rare':
      rare(random, program, marks);
      break;
  }
}

function rare(random: Random, program: Program, marks: Map<string, number>): void {
  const { machine } = program.end;
  switch (random.weighted({ endWriting: 2, close: 1, keepAlive: 10, offer: 20, withdraw: 10 })) {
    case 'endWriting':
      if (program.written < program.text.length && !random.oneIn(6)) break;
      program.endWriting();
      mark(marks, 'ends writing');
      break;
    case 'close':
      if (!random.oneIn(4)) break;
      program.close();
      mark(marks, 'closes');
      break;
    case 'keepAlive':
      machine.keepAlive();
      mark(marks, 'keepalive');
      break;
    case 'offer': {
      const entry = { offset: random.int(0, 1000), addr: random.int(0, 2 ** 47), rkey: 7, bytes: 100 };
      mark(marks, machine.iomaps.offer(entry) === -1 ? 'iomap full' : 'iomap');
      break;
    }
    case 'withdraw':
      machine.iomaps.withdraw(random.int(0, 3));
      break;
  }
}

/** One end that gives the queue pair up. */
interface Leaver {
  readonly program: Program;
  /** Whether it does so now. */
  leaves(): boolean;
}

/** A process that is killed leaves at any moment; a stock program that has closed, when it hears the end of its peer. */
function leaverOf(random: Random, programs: readonly [Program, Program]): Leaver | undefined {
  if (!random.oneIn(3)) return undefined;
  const program = random.pick(programs);
  if (random.oneIn(2)) return { program, leaves: () => random.oneIn(200) };
  const leaves = (): boolean => {
    if (!program.isClosed && random.oneIn(100)) program.close();
    program.end.post();
    return program.isClosed && program.end.machine.isPeerDone;
  };
  return { program, leaves };
}

/** Of what is under way some may arrive still, and be acknowledged, in order; nothing is repeated. */
function leave(
  random: Random,
  pair: RsocketPair,
  { end }: Program,
  deliver: (end: RsocketEnd) => void,
): void {
  for (let left = random.int(0, end.underway.length); left > 0; left--) deliver(end);
  const peer = pair.peerOf(end);
  for (let left = random.int(0, peer.unacknowledged); left > 0; left--) pair.acknowledge(peer);
}

/** The end that stays calls the connection whole only if nothing is missing at either end. */
function judgeLeft([a, b]: readonly [Program, Program], leaver: Program, marks: Map<string, number>): void {
  const stayer = leaver === a ? b : a;
  const { machine } = stayer.end;
  mark(marks, machine.isWhole ? 'left whole' : 'left short');
  if (!machine.isWhole) return;
  const lost = leaver.written - stayer.end.arrived;
  if (lost > 0) throw new Error(`${lost} bytes of an end that has left got lost, and nobody is told`);
  const untaken = stayer.written - leaver.end.arrived;
  if (untaken > 0)
    throw new Error(`${untaken} bytes did not come to an end that has left, and nobody is told`);
}

/** Both read to the end, and both have nothing more to say. */
function drain(
  pair: RsocketPair,
  programs: readonly [Program, Program],
  deliver: (end: RsocketEnd) => void,
): void {
  for (let round = 0; round < 20_000; round++) {
    for (const program of programs) {
      program.write(program.text.length);
      if (!program.isEnded && (program.written === program.text.length || program.end.machine.isWritingOver))
        program.endWriting();
      program.read(1000);
      const { end } = program;
      end.post();
      deliver(end);
      pair.acknowledge(end);
    }
    check(programs);
    if (programs.every(({ end }) => end.machine.isOver && end.machine.incoming.unread === 0)) return;
  }
  throw new Error(`it does not come to its end: ${programs.map((program) => story(program)).join('; ')}`);
}

function check(programs: readonly [Program, Program]): void {
  for (const { end } of programs) {
    const { fault } = end.machine;
    if (fault !== undefined) throw new Error(`an end that keeps the rules is accused of ${fault}`);
  }
}

/** What arrived is what was written, from the beginning and without a hole; all of it where nobody left early. */
function judge([a, b]: readonly [Program, Program], marks: Map<string, number>): void {
  for (const [writer, reader] of [
    [a, b],
    [b, a],
  ] as const) {
    const got = Buffer.concat(reader.got);
    const wanted = writer.text.subarray(0, writer.written);
    if (!got.equals(wanted.subarray(0, got.length))) throw new Error('bytes arrived that nobody wrote so');
    if (reader.isClosed || reader.end.machine.isPeerGone === false) continue;
    const isWhole = got.length === wanted.length;
    mark(marks, isWhole ? 'whole' : 'cut');
    if (!isWhole && !reader.isClosed) throw new Error(`${wanted.length - got.length} bytes got lost`);
  }
}

const story = ({ end, written, text: { length }, isEnded, isClosed }: Program): string => {
  const { machine } = end;
  return JSON.stringify({
    written,
    length,
    isEnded,
    isClosed,
    isOver: machine.isOver,
    isPeerGone: machine.isPeerGone,
    posts: machine.unacknowledgedPosts,
    waiting: machine.outgoing.waiting,
    unread: machine.incoming.unread,
  });
};

/** What a long run has seen. */
export const RSOCKET_MARKS: readonly string[] = [
  'closes',
  'ends writing',
  'iomap',
  'iomap full',
  'keepalive',
  'left short',
  'left whole',
  'whole',
];

const mark = (marks: Map<string, number>, name: string): void => {
  marks.set(name, (marks.get(name) ?? 0) + 1);
};

function text(random: Random): Uint8Array {
  const bytes = new Uint8Array(random.oneIn(5) ? 0 : random.int(1, 6000));
  random.fill(bytes);
  return bytes;
}

const sizes = (random: Random): RsocketSizes => ({
  ringBytes: 2 * random.int(1, random.oneIn(3) ? 2000 : 60),
  credits: random.int(1, random.oneIn(3) ? 400 : 8),
  tableEntries: random.int(2, 5),
  iomapEntries: random.int(0, 3),
  isBigEndian: random.oneIn(2),
  sendRingBytes: random.int(1, random.oneIn(3) ? 4000 : 60),
  maxMessageBytes: random.int(1, random.oneIn(3) ? 4000 : 40),
  maxPosts: random.int(5, random.oneIn(3) ? 60 : 8),
});
