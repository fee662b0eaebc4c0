/** Which certificates a command uses: the files that it was given, or the development ones. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { loadCertificateFiles } from '../certificates/certificate-files.js';
import { type DevCertificates, loadOrCreateDevCertificates } from '../certificates/dev-certificates.js';
import { cannotListen } from '../session/tls-server.js';
import { RdmaError } from '../verbs/errors.js';
import { WrongArguments } from './wrong-arguments.js';

export interface ServerCertificateFlags {
  readonly cert?: string;
  readonly key?: string;
  readonly clientCa?: string;
  readonly devCerts?: string;
}

export interface ServerCertificates {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
  /** Set when development certificates are used. */
  readonly dev?: DevCertificates;
}

/**
 * Those for a server that shall listen on `address`. Port 0: any.
 *
 * @throws RdmaError ERR_RDMA_CERTIFICATE; ERR_RDMA_ADDRESS when it could not listen there, so that no certificate is made for it.
 */
export async function serverCertificates(
  flags: ServerCertificateFlags,
  address: ListenAddress,
): Promise<ServerCertificates> {
  const given = await loadCertificateFiles({
    ...(flags.cert === undefined ? {} : { cert: flags.cert }),
    ...(flags.key === undefined ? {} : { key: flags.key }),
    ...(flags.clientCa === undefined ? {} : { clientCa: flags.clientCa }),
  });
  const clientCa = given.clientCaPem;
  if (given.certPem !== undefined && given.keyPem !== undefined) {
    return { cert: given.certPem, key: given.keyPem, ...(clientCa === undefined ? {} : { clientCa }) };
  }
  // A wildcard address is no name that a client could ask for.
  const { host } = address;
  const names = host === '0.0.0.0' || host === '::' ? [] : [host];
  await checkAddress(address);
  const dev = await developmentCertificates(flags.devCerts, names);
  return { cert: dev.server.certPem, key: dev.server.keyPem, clientCa: clientCa ?? dev.caPem, dev };
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** A socket that is closed at once: what it cannot have, the server could not either. */
async function checkAddress(address: ListenAddress): Promise<void> {
  const probe = createServer();
  try {
    probe.listen({ ...address });
    await once(probe, 'listening');
  } catch (error) {
    throw cannotListen(address, error as Error);
  }
  probe.close();
  await once(probe, 'close');
}

/** @throws RdmaError ERR_RDMA_CERTIFICATE, with the flag that names another place. */
async function developmentCertificates(
  dir: string | undefined,
  names: readonly string[] = [],
): Promise<DevCertificates> {
  try {
    return await loadOrCreateDevCertificates(dir, names);
  } catch (error) {
    throw withDirectoryFlag(error);
  }
}

/** The library knows no flags. */
export function withDirectoryFlag(error: unknown): unknown {
  if (!(error instanceof RdmaError) || error.code !== 'ERR_RDMA_CERTIFICATE') return error;
  return new RdmaError(error.code, `${error.message} (--dev-certs DIR says where they are kept)`, {
    cause: error,
  });
}

export interface ClientCertificateFlags {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly devCerts?: string;
}

export interface ClientCertificates {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
  /** Set when the development authority is what the server must be signed by. */
  readonly devDir?: string;
}

/** @throws RdmaError ERR_RDMA_CERTIFICATE, ERR_RDMA_INVALID_ARGUMENT. */
export async function clientCertificates(flags: ClientCertificateFlags): Promise<ClientCertificates> {
  const { ca, cert, key, devCerts } = flags;
  if (ca !== undefined && devCerts !== undefined) {
    throw new WrongArguments('--ca and --dev-certs both say whom to trust; give one of them');
  }
  const given = await loadCertificateFiles({
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
  const own = given.certPem === undefined || given.keyPem === undefined ? undefined : pair(given);
  if (given.caPem !== undefined) return { ca: given.caPem, ...own };
  const dev = await developmentCertificates(devCerts);
  const shown = own ?? { cert: dev.client.certPem, key: dev.client.keyPem };
  return { ca: dev.caPem, ...shown, devDir: dev.dir };
}

const pair = (given: { certPem?: string; keyPem?: string }): { cert: string; key: string } => ({
  cert: given.certPem ?? '',
  key: given.keyPem ?? '',
});
