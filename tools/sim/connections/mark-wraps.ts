/** Which counters have wrapped in a run, seen from outside as far as possible: that they began near their wrap is not enough. */

import { MESSAGE_COST_BYTES } from '../../../src/connection/fragments/message-queue.js';
import { insidesOf } from '../../../src/connection/program/insides.js';
import type { EndProgram } from './end-program.js';
import type { Scenario } from './scenario.js';
import type { World } from './world.js';

const COUNTER = 2 ** 32;
/** More pieces than any key has left when it begins. */
const PIECES = 12;

export function markWraps({ courses, scenario, marks, network }: World): void {
  if (scenario.nearPsns && network.psnZeros > 0) marks.hit('wrap: PSN');
  for (const { programs } of courses) {
    for (const program of [programs.client, programs.server]) {
      if (program === null || program.connection === null) continue;
      for (const name of wrapsOf(program, scenario)) marks.hit(`wrap: ${name}`);
    }
  }
}

function wrapsOf(program: EndProgram, { first }: Scenario): string[] {
  const { connection, peer, received, streams, oneSided, recoveries } = program;
  if (connection === null) return [];
  const fragments = (insidesOf(connection).dataPath.receiver.received - first.fragment) >>> 0;
  let cost = 0;
  for (const number of received) cost += MESSAGE_COST_BYTES + (peer?.sends[number]?.data.length ?? 0);
  const longest = Math.max(0, ...[...(streams?.ends.values() ?? [])].map(({ incoming }) => incoming.bytes));
  const reads = oneSided.filter(({ kind, outcome }) => kind === 'read' && outcome?.error === null);
  const isSealed = connection.isEncrypted;
  const wraps: readonly (readonly [string, boolean])[] = [
    ['fragments', first.fragment + fragments >= COUNTER],
    ['cost of messages', first.messageCost + cost >= COUNTER],
    ['bytes of a stream', first.streamByte + longest >= COUNTER],
    ['key of a direction', isSealed && first.sealedPiece > 0 && recoveries === 0 && fragments >= PIECES],
    ['requests for sealed memory', isSealed && first.sealedRequest + reads.length > COUNTER],
  ];
  return wraps.filter(([, isTrue]) => isTrue).map(([name]) => name);
}
