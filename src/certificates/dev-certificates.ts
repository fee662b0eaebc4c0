/**
 * Certificates for development, made on first use and kept in one directory: a local authority, a server certificate
 * for this host, a client certificate. Meant for one user's machines; production brings its own files.
 *
 * Invariants, also with several processes at a time and without locks:
 * - The set appears at once: it is built in a directory beside and renamed into place. Whoever comes second finds the
 *   name taken, throws its own set away and uses the first one's.
 * - A server or client certificate is renewed with its old key and authority by renaming one file, so that every
 *   moment shows a set that fits together.
 * - A lapsed authority is moved aside to a name made from its fingerprint. Only the set that was judged can be moved
 *   there, never the fresh one of a process that was quicker.
 * - Private keys are readable by the owner alone (0600 in 0700). Files that are not ours are never touched.
 */
import { randomBytes, X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { homedir, hostname } from 'node:os';
import { dirname, isAbsolute, join, posix, resolve, win32 } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { subjectAltNames } from '../session/peer-identity.js';
import { RdmaError, usageError } from '../verbs/errors.js';
import { certificateError, hasExpired, parseCertificates, parseKey } from './certificate-files.js';
import {
  issueCertificate,
  type KeyedCertificate,
  makeAuthority,
  type Validity,
} from './certificate-maker.js';

const DAY_MILLIS = 86_400_000;
const AUTHORITY_DAYS = 3650;
const LEAF_DAYS = 365;
/** Renew when less than this is left. */
const RENEW_DAYS = 1;
/** Clocks of two machines may differ by this much. */
const BACKDATED_MILLIS = 3_600_000;
const MAX_ATTEMPTS = 8;
const RETRY_MILLIS = 25;
const MAX_DNS_NAME_CHARS = 253;
const DNS_NAME = /^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;
const LOCAL_NAMES = ['localhost', '127.0.0.1', '::1'];

const FILES = {
  ca: { cert: 'ca.pem', key: 'ca-key.pem' },
  server: { cert: 'server.pem', key: 'server-key.pem' },
  client: { cert: 'client.pem', key: 'client-key.pem' },
} as const;
type Member = keyof typeof FILES;
type CertificateSet = Readonly<Record<Member, KeyedCertificate>>;

export interface DevCertificates {
  readonly caPem: string;
  readonly server: KeyedCertificate;
  readonly client: KeyedCertificate;
  /** Where they are kept. */
  readonly dir: string;
  /** Whether this call made or renewed any of them. */
  readonly created: boolean;
}

/**
 * The development certificates in `dir` (default: this user's configuration directory), made or renewed if need be.
 * The server certificate is valid for localhost, 127.0.0.1, ::1, this host's name and `names`.
 *
 * @throws RdmaError ERR_RDMA_CERTIFICATE if the directory holds something else or cannot be written;
 *   ERR_RDMA_INVALID_ARGUMENT for a name that is neither a DNS name nor an IP address.
 */
export async function loadOrCreateDevCertificates(
  dir: string = defaultCertificateDir(),
  names: readonly string[] = [],
  now: Date = new Date(),
): Promise<DevCertificates> {
  const place = resolve(dir);
  const wanted = serverNames(names);
  let created = false;
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const set = await readSettledSet(place);
    if (set === undefined) {
      created = (await writing(place, () => createSet(place, wanted, now))) || created;
      continue;
    }
    const stale = staleMember(set, wanted, now);
    if (stale === undefined) {
      return { caPem: set.ca.certPem, server: set.server, client: set.client, dir: place, created };
    }
    created = (await writing(place, () => renew(place, set, stale, wanted, now))) || created;
  }
  throw certificateError(`the certificates in ${place} cannot be renewed; remove that directory`);
}

/** `$XDG_CONFIG_HOME/queuepair/certs` or what the platform has in its place. */
export function defaultCertificateDir(
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  const { XDG_CONFIG_HOME: xdg, APPDATA: appData } = env;
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'queuepair', 'certs');
  if (platform === 'win32' && appData !== undefined && win32.isAbsolute(appData)) {
    return join(appData, 'queuepair', 'certs');
  }
  // A private authority never gets into the working directory.
  if (!(platform === 'win32' ? win32 : posix).isAbsolute(home)) {
    throw certificateError(
      `no place for development certificates: the home directory is "${home}", which is no absolute path; name a directory`,
    );
  }
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'queuepair', 'certs');
  return join(home, '.config', 'queuepair', 'certs');
}

function serverNames(names: readonly string[]): string[] {
  const own = hostname().toLowerCase();
  const wanted = [...LOCAL_NAMES, ...(isServerName(own) ? [own] : [])];
  for (const name of names.map((text) => text.toLowerCase())) {
    if (!isServerName(name)) throw usageError(`"${name}" is neither a DNS name nor an IP address`);
    wanted.push(name);
  }
  return [...new Set(wanted)];
}

const isServerName = (name: string): boolean =>
  isIP(name) !== 0 || (name.length <= MAX_DNS_NAME_CHARS && DNS_NAME.test(name));

/** Between two files another process may exchange the set: what does not fit together is read again before it counts. */
async function readSettledSet(place: string): Promise<CertificateSet | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await readSet(place);
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error;
      await sleep(RETRY_MILLIS);
    }
  }
}

/** `undefined` if there is nothing yet. */
async function readSet(place: string): Promise<CertificateSet | undefined> {
  const present = await readEntries(place);
  if (present.length === 0) return undefined;
  const lacking = Object.values(FILES)
    .flatMap(({ cert, key }) => [cert, key])
    .filter((file) => !present.includes(file));
  if (lacking.length > 0) {
    throw certificateError(
      `${place} is not empty but lacks ${lacking.join(', ')}; remove that directory or give another one`,
    );
  }
  const set = {
    ca: await readMember(place, 'ca'),
    server: await readMember(place, 'server'),
    client: await readMember(place, 'client'),
  };
  const authority = new X509Certificate(set.ca.certPem);
  for (const member of ['ca', 'server', 'client'] as const) {
    if (new X509Certificate(set[member].certPem).verify(authority.publicKey)) continue;
    throw certificateError(`${join(place, FILES[member].cert)} was not signed by ${FILES.ca.cert} beside it`);
  }
  return set;
}

async function readEntries(place: string): Promise<string[]> {
  try {
    return await readdir(place);
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return [];
    throw certificateError(`${place} cannot be read: ${(cause as Error).message}`, cause);
  }
}

async function readMember(place: string, member: Member): Promise<KeyedCertificate> {
  const certPath = join(place, FILES[member].cert);
  const keyPath = join(place, FILES[member].key);
  const certPem = await readText(certPath);
  const keyPem = await readText(keyPath);
  const [certificate] = parseCertificates(certPath, certPem);
  if (!certificate.checkPrivateKey(parseKey(keyPath, keyPem))) {
    throw certificateError(`${keyPath} is not the key of the certificate in ${certPath}`);
  }
  return { certPem, keyPem };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw certificateError(`${path} cannot be read: ${(cause as Error).message}`, cause);
  }
}

function staleMember(set: CertificateSet, wanted: readonly string[], now: Date): Member | undefined {
  const soon = new Date(now.getTime() + RENEW_DAYS * DAY_MILLIS);
  for (const member of ['ca', 'server', 'client'] as const) {
    if (hasExpired(new X509Certificate(set[member].certPem), soon)) return member;
  }
  const server = new X509Certificate(set.server.certPem);
  return wanted.every((name) => holdsName(server, name)) ? undefined : 'server';
}

function holdsName(certificate: X509Certificate, name: string): boolean {
  if (isIP(name) !== 0) return certificate.checkIP(name) !== undefined;
  return subjectAltNames(certificate).includes(`DNS:${name}`);
}

/** One by one: `mkdir` with `recursive` never ends where a directory exists and takes no new ones, as /proc. */
async function makeDirectories(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return;
    const parent = dirname(path);
    if (!hasCode(cause, 'ENOENT') || parent === path || (await exists(parent))) throw cause;
    await makeDirectories(parent);
    await makeDirectories(path);
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Whether our set took the place; if not, another process was quicker. */
async function createSet(place: string, names: readonly string[], now: Date): Promise<boolean> {
  await makeDirectories(dirname(place));
  const draft = await mkdtemp(`${place}.new-`);
  try {
    const tag = randomBytes(4).toString('hex');
    const ca = await makeAuthority(
      `queuepair development CA ${tag}`,
      validity(now, now.getTime() + AUTHORITY_DAYS * DAY_MILLIS),
    );
    await writeMember(draft, 'ca', ca);
    await writeMember(draft, 'server', await issueLeaf(ca, 'server', names, now));
    await writeMember(draft, 'client', await issueLeaf(ca, 'client', [], now));
    // An empty directory is free to be taken; not every platform lets a rename do that.
    await rmdir(place).catch(() => undefined);
    return await unlessTaken(rename(draft, place));
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Whether anything was changed; if not, another process was quicker. */
async function renew(
  place: string,
  set: CertificateSet,
  member: Member,
  wanted: readonly string[],
  now: Date,
): Promise<boolean> {
  if (member === 'ca') return await setAside(place, set.ca.certPem);
  const names = member === 'server' ? withNames(new X509Certificate(set.server.certPem), wanted) : [];
  const { certPem } = await issueLeaf(set.ca, member, names, now, set[member].keyPem);
  const path = join(place, FILES[member].cert);
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    return (await unlessTaken(writeSecret(draft, certPem))) && (await unlessTaken(rename(draft, path)));
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * Moves the set of one authority out of the way. Whether it did: the new name exists already if that set was moved
 * before, so a fresh set of a quicker process stays where it is.
 */
export async function setAside(place: string, caPem: string): Promise<boolean> {
  const fingerprint = new X509Certificate(caPem).fingerprint256.replaceAll(':', '').slice(0, 16);
  return await unlessTaken(rename(place, `${place}.lapsed-${fingerprint.toLowerCase()}`));
}

/** Names of earlier calls stay, so that programs which ask for different names do not take turns in renewing. */
const withNames = (server: X509Certificate, wanted: readonly string[]): string[] => [
  ...subjectAltNames(server).map((name) => name.replace(/^(DNS|IP):/, '')),
  ...wanted.filter((name) => !holdsName(server, name)),
];

function issueLeaf(
  ca: KeyedCertificate,
  use: 'server' | 'client',
  names: readonly string[],
  now: Date,
  keyPem?: string,
): Promise<KeyedCertificate> {
  const authorityUntilMillis = Date.parse(new X509Certificate(ca.certPem).validTo);
  return issueCertificate(ca, {
    ...validity(now, Math.min(now.getTime() + LEAF_DAYS * DAY_MILLIS, authorityUntilMillis)),
    commonName: `queuepair development ${use}`,
    use,
    names,
    ...(keyPem === undefined ? {} : { keyPem }),
  });
}

const validity = (now: Date, untilMillis: number): Validity => ({
  notBefore: new Date(now.getTime() - BACKDATED_MILLIS),
  notAfter: new Date(untilMillis),
});

async function writeMember(
  dir: string,
  member: Member,
  { certPem, keyPem }: KeyedCertificate,
): Promise<void> {
  await writeSecret(join(dir, FILES[member].cert), certPem);
  await writeSecret(join(dir, FILES[member].key), keyPem);
}

const writeSecret = (path: string, text: string): Promise<void> =>
  writeFile(path, text, { mode: 0o600, flag: 'wx', flush: true });

/** `false` if a quicker process took the name, or moved away what we meant to change. */
async function unlessTaken(operation: Promise<void>): Promise<boolean> {
  try {
    await operation;
    return true;
  } catch (cause) {
    if (hasCode(cause, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) return false;
    // Windows says so of a directory that exists.
    if (process.platform === 'win32' && hasCode(cause, 'EPERM', 'EACCES')) return false;
    throw cause;
  }
}

async function writing<Result>(place: string, operation: () => Promise<Result>): Promise<Result> {
  try {
    return await operation();
  } catch (cause) {
    if (cause instanceof RdmaError) throw cause;
    throw certificateError(
      `cannot write certificates to ${place}: ${(cause as Error).message}; name another directory`,
      cause,
    );
  }
}

const hasCode = (error: unknown, ...codes: string[]): boolean =>
  codes.includes(String((error as NodeJS.ErrnoException).code));
