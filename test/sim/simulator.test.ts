/** The simulator itself: seeds replay, checkers find what they look for, shrinking keeps the failure. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Syndrome } from '../../src/roce/wire/aeth.js';
import { ICRC_LENGTH } from '../../src/roce/wire/bth.js';
import { Icrc, writeIcrc } from '../../src/roce/wire/icrc.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { EventQueue } from '../../testkit/event-queue.js';
import { Random } from '../../testkit/random.js';
import { SharedWord } from '../../tools/sim/checks/atomics.js';
import { SimFailure } from '../../tools/sim/failure.js';
import { generateScenario } from '../../tools/sim/generate.js';
import type { Packet } from '../../tools/sim/network.js';
import { parseOptions } from '../../tools/sim/options.js';
import type { AtomicRecord } from '../../tools/sim/records.js';
import { runScenario, runSeed } from '../../tools/sim/run-seed.js';
import { shrink } from '../../tools/sim/shrink.js';
import { World } from '../../tools/sim/world.js';

const SEEDS = Array.from({ length: 60 }, (_, i) => i + 1);

test('the engine keeps its promises in the first seeds', () => {
  for (const seed of SEEDS) {
    const { failure } = runSeed(seed);
    assert.equal(failure, null, `npm run sim -- --seed ${seed} --shrink`);
  }
});

test('a seed is a whole run: it sends the same packets and hits the same marks every time', () => {
  for (const seed of [3, 17, 42]) {
    const first = runSeed(seed);
    const second = runSeed(seed);
    assert.deepEqual([...second.marks], [...first.marks]);
    assert.equal(second.packets, first.packets);
  }
});

test('a scenario survives being written down as JSON', () => {
  const scenario = generateScenario(11);
  const copy = JSON.parse(JSON.stringify(scenario));
  assert.deepEqual(runScenario(copy), runScenario(scenario));
});

/** Runs seeds with packets that are replaced on their way, behind the fault model's back, until a checker objects. */
function firstObjection(replace: (packet: Packet) => Uint8Array | null): string | null {
  for (const seed of SEEDS) {
    const world = new World(generateScenario(seed));
    const transmit = world.onTransmit.bind(world);
    world.onTransmit = (packet) => {
      const sent = transmit(packet);
      const bytes = replace(sent);
      return bytes === null ? sent : { ...sent, bytes };
    };
    try {
      world.run();
    } catch (error) {
      return error instanceof SimFailure ? error.checker : 'exception';
    }
  }
  return null;
}

/** A copy with other bytes in it and an ICRC that fits them. */
function forge(packet: Packet, edit: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = packet.bytes.slice();
  edit(bytes);
  const length = bytes.length - ICRC_LENGTH;
  writeIcrc(bytes, length, new Icrc().compute(packet.source, packet.destination, bytes, 0, length));
  return bytes;
}

test('nothing objects to packets that nobody replaces', () => {
  assert.equal(
    firstObjection(() => null),
    null,
  );
});

test('a wrong byte in the payload of a SEND is found where it arrives', () => {
  const objection = firstObjection((packet) => {
    if (packet.bytes[0] !== Opcode.RC_SEND_ONLY || packet.bytes.length < 40) return null;
    return forge(packet, (bytes) => bytes.fill((bytes[14] as number) ^ 1, 14, 15));
  });
  assert.equal(objection, 'receive completions');
});

test('a wrong byte in READ data is found where it arrives', () => {
  const objection = firstObjection((packet) => {
    if (packet.bytes[0] !== Opcode.RC_READ_RESPONSE_ONLY || packet.bytes.length < 40) return null;
    return forge(packet, (bytes) => bytes.fill((bytes[18] as number) ^ 1, 18, 19));
  });
  assert.equal(objection, 'memory');
});

test('an atomic that returns a value which the word never had is found', () => {
  const objection = firstObjection((packet) => {
    if (packet.bytes[0] !== Opcode.RC_ATOMIC_ACKNOWLEDGE) return null;
    return forge(packet, (bytes) => bytes.fill((bytes[20] as number) ^ 1, 20, 21));
  });
  assert.equal(objection, 'atomics');
});

test('an ACK for packets that were refused for want of a receive is found', () => {
  const objection = firstObjection((packet) => {
    const isRnr = packet.bytes[0] === Opcode.RC_ACKNOWLEDGE && ((packet.bytes[12] as number) & 0xe0) === 0x20;
    return isRnr ? forge(packet, (bytes) => bytes.fill(Syndrome.ACK, 12, 13)) : null;
  });
  assert.notEqual(objection, null);
});

// --- atomics ----------------------------------------------------------------------------------------------------------

const add = (
  id: number,
  operand: bigint,
  original: bigint | null,
  times: [number, number],
): AtomicRecord => ({
  id,
  group: `g${id}`,
  isCompareSwap: false,
  compare: 0n,
  operand,
  original,
  isOpen: true,
  postedAt: times[0],
  settledAt: times[1],
});

function wordOf(...records: AtomicRecord[]): SharedWord {
  const word = new SharedWord('word', 100n);
  word.records.push(...records);
  return word;
}

test('atomics that form a chain are linearizable, with those of unknown outcome in the gaps', () => {
  wordOf(add(1, 5n, 100n, [0, 10]), add(2, 7n, 105n, [0, 10])).verify(112n);
  wordOf(add(1, 5n, 100n, [0, 10]), add(2, 7n, null, [0, 99]), add(3, 1n, 112n, [0, 10])).verify(113n);
  wordOf(add(1, 5n, 100n, [0, 10]), add(2, 7n, null, [0, 99])).verify(105n);
});

test('a swap of unknown outcome that would have changed nothing says nothing about time', () => {
  const swap = { ...add(2, 9n, null, [50, Number.POSITIVE_INFINITY]), isCompareSwap: true, compare: 1n };
  const lost = add(3, 7n, null, [0, Number.POSITIVE_INFINITY]);
  // 1 was over before the swap was posted. Whatever leads from 100 to what 1 found need not contain the swap.
  wordOf(swap, lost, add(1, 5n, 107n, [0, 10])).verify(112n);
});

test('an atomic that happened twice, never, or before its time is found', () => {
  assert.throws(() => wordOf(add(1, 5n, 100n, [0, 10])).verify(110n), SimFailure);
  assert.throws(() => wordOf(add(1, 5n, 100n, [0, 10])).verify(100n), SimFailure);
  assert.throws(() => wordOf(add(1, 5n, 100n, [0, 9]), add(2, 7n, 100n, [0, 9])).verify(112n), SimFailure);
  assert.throws(() => wordOf(add(1, 5n, 107n, [0, 9]), add(2, 7n, 100n, [20, 30])).verify(112n), SimFailure);
});

// --- parts ------------------------------------------------------------------------------------------------------------

test('events come in the order of their time, and those of one time as they were added', () => {
  const random = new Random(5);
  const events = new EventQueue();
  const expected = Array.from({ length: 500 }, (_, i) => ({ at: random.int(0, 50), i }));
  const seen: string[] = [];
  for (const { at, i } of expected) events.add(at, () => seen.push(`${at} ${i}`));
  while (events.size > 0) events.take()();
  expected.sort((a, b) => a.at - b.at || a.i - b.i);
  assert.deepEqual(
    seen,
    expected.map(({ at, i }) => `${at} ${i}`),
  );
});

test('shrinking keeps the checker that failed and leaves out what it does not need', async () => {
  const scenario = generateScenario(5);
  // Nobody can complete anything in a world whose receives never come.
  for (const connection of scenario.connections) connection.tinyCq = 0;
  const [connection] = scenario.connections;
  const [epoch] = connection?.epochs ?? [];
  assert.ok(connection !== undefined && epoch !== undefined);
  epoch.operations = epoch.operations.filter((operation) => operation.wrong === null);
  const [first] = epoch.operations;
  assert.ok(first !== undefined);
  // A plan that lies: the bad key is not said to be wrong.
  first.kind = 'localInv';
  first.window = null;
  const { failure } = runScenario(scenario);
  assert.match(failure ?? '', /^statuses/);
  const shrunk = await shrink(scenario, failure ?? '', 10_000);
  assert.match(shrunk.failure, /^statuses/);
  const operations = shrunk.scenario.connections.flatMap((c) => c.epochs.flatMap((e) => e.operations));
  assert.equal(operations.length, 1);
});

test('the command line refuses what makes no sense', () => {
  assert.deepEqual(parseOptions(['--seed', '7']).last, 7);
  assert.equal(parseOptions(['--seeds', '3..9']).first, 3);
  assert.equal(parseOptions(['--connections']).connections, true);
  for (const args of [['--seeds', '9..3'], ['--seeds', 'x'], ['--jobs', '0'], ['--what']]) {
    assert.throws(() => parseOptions(args), args.join(' '));
  }
});
