/**
 * What the programs of the scenario `session` share: certificates for both addresses of both ends, and the bytes that
 * clients write. They lie below the build, which the machine sees under the same name.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { projectFolder } from './folders.js';
import { HERE, IP_VERSIONS, THERE } from './network.js';
import { pattern, sha256 } from './peer.js';

/** Many packets at every path MTU, and no multiple of any. */
export const PAYLOAD_BYTES = 300_001;

export interface SessionFiles {
  readonly payload: string;
  /** Of the payload. */
  readonly sha256: string;
  readonly serverArguments: readonly string[];
  readonly clientArguments: readonly string[];
  remove(): Promise<void>;
}

export async function prepareSessionFiles(seed: number): Promise<SessionFiles> {
  const folder = await mkdtemp(join(projectFolder(), 'build', 'lab-session-'));
  const certificates = join(folder, 'certificates');
  await loadOrCreateDevCertificates(
    certificates,
    IP_VERSIONS.flatMap((ip) => [HERE[ip], THERE[ip]]),
  );
  const bytes = pattern(PAYLOAD_BYTES, seed);
  const payload = join(folder, 'payload');
  await writeFile(payload, bytes);
  const file = (name: string): string => join(certificates, `${name}.pem`);
  const pair = (name: string): string[] => ['--cert', file(name), '--key', file(`${name}-key`)];
  return {
    payload,
    sha256: sha256(bytes),
    serverArguments: [...pair('server'), '--client-ca', file('ca')],
    clientArguments: [...pair('client'), '--ca', file('ca')],
    remove: () => rm(folder, { recursive: true }),
  };
}
