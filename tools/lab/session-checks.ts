/** What the events of `queuepair serve` and `queuepair connect` must say about a session that went well. */
import { StepName } from '../../src/connection/common/steps.js';
import { CLIENT_STEPS, SERVER_STEPS } from '../../testkit/session-steps.js';
import { expectEqual } from './operations.js';
import type { ProgramEvent } from './programs.js';

export interface ClientExpectation {
  readonly text: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Operations of the command `auto`. */
  readonly operations: number;
}

/** @throws Error naming what is not as it must be. */
export function checkClient(events: readonly ProgramEvent[], expected: ClientExpectation): void {
  expectEqual('steps of the client', stepsOf(events), CLIENT_STEPS.join(' '));
  const one = (event: string): ProgramEvent => onlyOne(events, ({ event: name }) => name === event, event);
  expectEqual('peer', one('welcome')['peer'], 'CN=queuepair development server');
  expectEqual('echo', one('echo')['text'], expected.text);
  for (const event of ['write', 'read']) {
    expectEqual(`length of the ${event}`, one(event)['length'], expected.bytes);
    expectEqual(`SHA-256 of the ${event}`, one(event)['sha256'], expected.sha256);
  }
  expectEqual('operations in turn', one('auto')['operations'], expected.operations);
  expectEqual('recoveries', one('closed')['recoveries'], 0);
}

/**
 * @param clients events of each client, in any order
 * @throws Error naming what is not as it must be.
 */
export function checkServer(
  events: readonly ProgramEvent[],
  clients: readonly (readonly ProgramEvent[])[],
  expected: ClientExpectation,
): void {
  for (const client of clients) checkServed(events, client, expected);
  const count = (name: string): number => events.filter(({ event }) => event === name).length;
  expectEqual('connections', count('connected'), clients.length);
  expectEqual('refusals', count('refused'), 0);
  expectEqual('errors of the handler', count('handler-error'), 0);
  expectEqual('objects left over', onlyOne(events, ({ event }) => event === 'census', 'census')['leaked'], 0);
}

/** What the server saw of one client; they are matched by the queue pair that each says it has. */
function checkServed(
  events: readonly ProgramEvent[],
  client: readonly ProgramEvent[],
  expected: ClientExpectation,
): void {
  const qpn = detail(client, StepName.OBJECTS_CREATED, 'qpn');
  const isMet = (event: ProgramEvent): boolean =>
    event['step'] === StepName.PARAMETERS_EXCHANGED && detailsOf(event)['peerQpn'] === qpn;
  const { client: id } = onlyOne(events, isMet, `step with the client's QPN ${qpn}`);
  const own = events.filter((event) => event['client'] === id);
  expectEqual(`steps of the server with client ${id}`, stepsOf(own), SERVER_STEPS.join(' '));
  const psn = (side: readonly ProgramEvent[], name: string): number =>
    detail(side, StepName.PARAMETERS_EXCHANGED, name);
  expectEqual('QPN', detail(own, StepName.OBJECTS_CREATED, 'qpn'), psn(client, 'peerQpn'));
  expectEqual("the client's PSN", psn(own, 'remotePsn'), psn(client, 'localPsn'));
  expectEqual("the server's PSN", psn(own, 'localPsn'), psn(client, 'remotePsn'));
  const one = (name: string): ProgramEvent => onlyOne(own, ({ event }) => event === name, name);
  expectEqual('peer', one('connected')['peer'], 'CN=queuepair development client');
  expectEqual('error', one('disconnected')['error'], null);
  const written = own.find(({ event, length }) => event === 'write' && length === expected.bytes);
  expectEqual('SHA-256 that the server found', written?.['sha256'], expected.sha256);
}

function detail(events: readonly ProgramEvent[], step: StepName, name: string): number {
  const value = detailsOf(onlyOne(events, (event) => event['step'] === step, step))[name];
  if (typeof value === 'number') return value;
  throw new Error(`step ${step} has no ${name}`);
}

const detailsOf = (event: ProgramEvent): Readonly<Record<string, unknown>> =>
  (event['details'] ?? {}) as Readonly<Record<string, unknown>>;

const stepsOf = (events: readonly ProgramEvent[]): string =>
  events
    .filter(({ event }) => event === 'step')
    .map(({ step }) => step)
    .join(' ');

function onlyOne(
  events: readonly ProgramEvent[],
  is: (event: ProgramEvent) => boolean,
  what: string,
): ProgramEvent {
  const [found, ...more] = events.filter(is);
  if (found !== undefined && more.length === 0) return found;
  throw new Error(`${found === undefined ? 'no' : `${more.length + 1} times the`} event ${what}`);
}
