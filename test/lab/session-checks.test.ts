import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProgramEvent } from '../../tools/lab/programs.js';
import { checkClient, checkServer } from '../../tools/lab/session-checks.js';

const EXPECTED = { text: 'words', bytes: 300, sha256: 'aa', operations: 3 };
const RISE = 'tls psn-exchanged objects-created parameters-exchanged init rtr rts receives-posted ready';
const FALL = 'memory-deregistered qp-destroyed cqs-destroyed pd-deallocated tls-closed';

function steps(names: string, qpn: number, exchanged: object, client?: number): ProgramEvent[] {
  return names.split(' ').map((step) => ({
    event: 'step',
    step,
    ...(client === undefined ? {} : { client }),
    details: step === 'objects-created' ? { qpn } : step === 'parameters-exchanged' ? exchanged : {},
  }));
}

const clientEvents = (): ProgramEvent[] => [
  ...steps(`${RISE} ${FALL}`, 7, { peerQpn: 9, localPsn: 100, remotePsn: 200 }),
  { event: 'welcome', peer: 'CN=queuepair development server' },
  { event: 'echo', text: 'words' },
  { event: 'write', length: 300, sha256: 'aa' },
  { event: 'read', length: 300, sha256: 'aa' },
  { event: 'auto', operations: 3 },
  { event: 'closed', recoveries: 0 },
];

const serverEvents = (): ProgramEvent[] => [
  { event: 'listening' },
  ...steps(`${RISE} quit ${FALL} slot-freed`, 9, { peerQpn: 7, localPsn: 200, remotePsn: 100 }, 1),
  { event: 'connected', client: 1, peer: 'CN=queuepair development client' },
  { event: 'write', client: 1, length: 300, sha256: 'aa' },
  { event: 'disconnected', client: 1, error: null },
  { event: 'census', leaked: 0 },
];

const changed = (events: ProgramEvent[], name: string, change: object): ProgramEvent[] =>
  events.map((event) =>
    event['event'] === name || event['step'] === name ? { ...event, ...change } : event,
  );
const without = (events: ProgramEvent[], name: string): ProgramEvent[] =>
  events.filter(({ event, step }) => event !== name && step !== name);

test('a session that went well is accepted', () => {
  checkClient(clientEvents(), EXPECTED);
  checkServer(serverEvents(), [clientEvents()], EXPECTED);
});

test('a client whose steps, echo, hashes or recoveries are not as they must be is refused', () => {
  const refuse = (events: ProgramEvent[], message: RegExp): void =>
    assert.throws(() => checkClient(events, EXPECTED), message);
  refuse(without(clientEvents(), 'rtr'), /steps of the client/);
  refuse(clientEvents().reverse(), /steps of the client/);
  refuse(changed(clientEvents(), 'echo', { text: 'word' }), /echo/);
  refuse(changed(clientEvents(), 'write', { sha256: 'ab' }), /SHA-256 of the write/);
  refuse(changed(clientEvents(), 'read', { length: 299 }), /length of the read/);
  refuse(changed(clientEvents(), 'closed', { recoveries: 1 }), /recoveries/);
  refuse(without(clientEvents(), 'welcome'), /no event welcome/);
});

test('a server that knows another PSN, frees too little, or did not see each client is refused', () => {
  const refuse = (events: ProgramEvent[], message: RegExp, clients = [clientEvents()]): void =>
    assert.throws(() => checkServer(events, clients, EXPECTED), message);
  const exchanged = (details: object): ProgramEvent[] =>
    changed(serverEvents(), 'parameters-exchanged', { details });
  refuse(exchanged({ peerQpn: 7, localPsn: 200, remotePsn: 101 }), /the client's PSN/);
  refuse(exchanged({ peerQpn: 7, localPsn: 201, remotePsn: 100 }), /the server's PSN/);
  refuse(exchanged({ peerQpn: 8, localPsn: 200, remotePsn: 100 }), /no event step with the client's QPN 7/);
  refuse(without(serverEvents(), 'slot-freed'), /steps of the server/);
  refuse(changed(serverEvents(), 'write', { sha256: 'ab' }), /SHA-256 that the server found/);
  refuse(changed(serverEvents(), 'disconnected', { error: { code: 'X' } }), /error/);
  refuse(changed(serverEvents(), 'census', { leaked: 1 }), /objects left over/);
  refuse([...serverEvents(), { event: 'refused' }], /refusals/);
  refuse(serverEvents(), /connections/, []);
});
