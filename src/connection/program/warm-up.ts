/**
 * Has V8 compile the way of a message before a program needs it. Code that runs for the first time is interpreted, ten times as slow,
 * until V8 has seen it run some hundred times. So two connections of this thread, over two devices that are joined in memory, send each
 * other messages: the very code, and the very objects, that messages of the program have later. docs/performance.md has figures.
 *
 * Invariants: it happens once in a thread, and ends after `MOST_ECHOES` or `LONGEST_MILLIS`; nothing of it is left but compiled code.
 * It needs nothing that can be missing, and so its failure is a mistake in this package.
 */
import { openDevicePair } from '../../open-device.js';
import { ProcessHold } from '../../process-hold.js';
import type { SessionRole } from '../../session/session-data.js';
import type { Device } from '../../verbs/device.js';
import { StepReporter } from '../common/steps.js';
import { DataPath } from '../data-path/data-path.js';
import { Lifeline } from '../lifeline/lifeline.js';
import { MemoryRendezvous } from '../lifeline/memory-rendezvous.js';
import type { Rendezvous } from '../lifeline/rendezvous.js';
import { withDefaults } from '../terms/options.js';
import { Connection } from './connection.js';

/** Then V8 has compiled what there is; more change nothing that can be measured. */
const MOST_ECHOES = 800;
const LONGEST_MILLIS = 150;
/** Too few for V8 to compile anything of the way. */
const FIRST_ECHOES = 20;
const MESSAGE_BYTES = 64;
const LIMITS = { recoveryMillis: 0, keepAliveMillis: 0, quitMillis: 1000 };

let done: Promise<void> | undefined;

/** Resolves when it is over. Only the first call of a thread does anything. */
export async function warmUp(): Promise<void> {
  done ??= sendByTwoPairs(LONGEST_MILLIS);
  await done;
}

/** For so long at most. */
export async function sendByTwoPairs(millis: number): Promise<void> {
  const until = performance.now() + millis;
  await sendToOneself(FIRST_ECHOES, millis);
  await sendToOneself(MOST_ECHOES, until - performance.now());
}

/** @returns how many messages there were and came back. */
export async function sendToOneself(echoes: number, millis = Number.POSITIVE_INFINITY): Promise<number> {
  // The devices and connections hold nothing, and what waits for them would be forgotten.
  const hold = new ProcessHold();
  const devices = openDevicePair();
  try {
    const ends = MemoryRendezvous.pair();
    const [server, client] = await Promise.all([
      open('server', ends.server, devices[0]),
      open('client', ends.client, devices[1]),
    ]);
    const serving = echo(server);
    const count = await ask(client, echoes, performance.now() + millis);
    await client.close();
    await serving;
    await server.close();
    return count;
  } finally {
    await Promise.all(devices.map((device) => device.close({ force: true })));
    hold.end();
  }
}

async function open(role: SessionRole, rendezvous: Rendezvous, device: Device): Promise<Connection> {
  const limits = withDefaults({});
  const reporter = new StepReporter(0, undefined);
  const dataPath = new DataPath(device, limits, reporter, false);
  const lifeline = new Lifeline(rendezvous, {
    dataPath,
    reporter,
    limits: LIMITS,
    nextRendezvous: () => Promise.reject(new Error(`the ${role} has no other rendezvous`)),
  });
  await lifeline.establish();
  return new Connection(0, lifeline, dataPath, limits, { hold: new ProcessHold(false) });
}

async function echo(connection: Connection): Promise<void> {
  for await (const message of connection) await connection.send(message.data);
}

async function ask(connection: Connection, echoes: number, until: number): Promise<number> {
  const message = new Uint8Array(MESSAGE_BYTES);
  let count = 0;
  for (; count < echoes && performance.now() < until; count++) {
    await connection.send(message);
    await connection.receive();
  }
  return count;
}
