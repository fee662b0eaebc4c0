/** Starts the victims that attacks ask for. */

import type { KeyedCertificate } from '../../../src/certificates/certificate-maker.js';
import { connect } from '../../../src/connection/client/client.js';
import type { ConnectOptions } from '../../../src/connection/options/connect-options.js';
import type { Connection } from '../../../src/connection/program/connection.js';
import { UDP_ONLY } from '../../../testkit/udp-only.js';
import type { AttackContext } from '../attack.js';
import { HOSTS } from '../loopback.js';
import type { CmVictim, CmVictimOptions } from './cm-victim.js';
import type { Listening, ServerVictim, ServerVictimOptions } from './server-victim.js';
import type { VerbsVictim, VerbsVictimOptions } from './verbs-victim.js';
import { VictimProcess } from './victim-process.js';

const VICTIM_SEED = 1_000_000_007;

export function startVerbsVictim(
  { seed }: AttackContext,
  options: Partial<VerbsVictimOptions> = {},
): Promise<VictimProcess<VerbsVictim>> {
  // Not the attacker's own numbers, or it would know them.
  const base: VerbsVictimOptions = {
    seed: seed + VICTIM_SEED,
    serverHost: HOSTS.server,
    clientHost: HOSTS.client,
  };
  return VictimProcess.start<VerbsVictim>({ kind: 'verbs', options: { ...base, ...options } });
}

/** Two devices that meet by rdma_cm; with `bits`, over IDs of so few. */
export async function startCmVictim(
  { seed }: AttackContext,
  options: Pick<CmVictimOptions, 'bits'> = {},
): Promise<VictimProcess<CmVictim>> {
  const { server: serverHost, client: clientHost } = HOSTS;
  const all: CmVictimOptions = { seed: seed + VICTIM_SEED, serverHost, clientHost, ...options };
  const victim = await VictimProcess.start<CmVictim>({ kind: 'cm', options: all });
  await victim.call('start');
  return victim;
}

export async function startServerVictim(
  options: Partial<ServerVictimOptions> = {},
): Promise<{ victim: VictimProcess<ServerVictim>; listening: Listening }> {
  const all: ServerVictimOptions = { host: HOSTS.server, ...options };
  const victim = await VictimProcess.start<ServerVictim>({ kind: 'server', options: all });
  return { victim, listening: await victim.call('start') };
}

/**
 * Connects, and waits until the server's program has the connection as well: both ends wait for the proof of the path, and
 * a client may have its own first.
 */
export async function connectServed(
  victim: VictimProcess<ServerVictim>,
  options: ConnectOptions,
): Promise<Connection> {
  const before = await victim.call('served');
  const connection = await connect(options);
  let hasEnded = false;
  void connection.closed.then(() => {
    hasEnded = true;
  });
  while (!hasEnded && (await victim.call('served')) === before);
  return connection;
}

/** How a client of good standing connects, from the client's address. */
export function clientOf(
  { host, port, certificates }: Listening,
  { certPem, keyPem }: KeyedCertificate = certificates.client,
): ConnectOptions {
  const device = `soft:${HOSTS.client}?port=0&io=${UDP_ONLY}`;
  return { host, port, ca: certificates.caPem, cert: certPem, key: keyPem, device };
}
