/**
 * What options may be, checked when they are given: one sentence that names the option and says what it must be. An
 * option that does not exist is refused, because a typo in `clientCa` would turn client authentication off.
 *
 * Invariant: nothing but names, kinds and short numbers of what was given is repeated: it may be a key.
 */
import type { AdmissionLimits } from '../../session/connect-gate.js';
import { MOST_BURST } from '../../session/token-bucket.js';
import { usageError } from '../../verbs/errors.js';
import { PATH_MTUS } from '../../verbs/mtu.js';
import {
  atLeastOne,
  callback,
  checkEach,
  checkOptions,
  filled,
  inside,
  integer,
  isPlain,
  MAX_MILLIS,
  nameOf,
  type Rule,
  type Rules,
  signal,
  truth,
} from '../../verbs/option-check.js';
import type { ClientRates, TrafficRate } from '../rates/client-rates.js';
import type { ClientTerms } from '../terms/client-terms.js';
import type { CommonOptions, MemoryRights, StreamOptions } from '../terms/options.js';
import type { ConnectionPathOptions } from '../terms/path-options.js';
import type { ConnectOptions } from './connect-options.js';
import type { ListenOptions, ServerCertificates } from './listen-options.js';
import { pemFault } from './pem.js';
import { MAX_PRIORITY, MAX_WEIGHT, readServerAddress, type ServerAddress } from './server-address.js';
import { isServiceName } from './service-records.js';

const pem =
  (block: 'CERTIFICATE' | 'PRIVATE KEY'): Rule =>
  (value) =>
    pemFault(value, block);
const pfx: Rule = (value) =>
  value instanceof Uint8Array && value.length > 0 ? undefined : 'the bytes of a PKCS #12 file';
const secureContext: Rule = (value) =>
  typeof value === 'object' && value !== null && 'context' in value
    ? undefined
    : 'what tls.createSecureContext made';
const SERVER: Rules<ServerAddress> = {
  host: filled,
  port: integer(1, 65_535),
  priority: integer(0, MAX_PRIORITY),
  weight: integer(0, MAX_WEIGHT),
};
const hosts: Rule = (value) => {
  if (!Array.isArray(value) || value.length === 0) return 'an array of servers that is not empty';
  for (const [index, server] of value.entries()) {
    if (typeof server === 'string' && readServerAddress(server) !== undefined) continue;
    if (!isPlain(server))
      return `an array whose every server is HOST, HOST:PORT, [IPV6]:PORT or an object with host`;
    checkEach(server, SERVER, `hosts[${index}].`);
    if (server['host'] === undefined) return `an array whose every object has a host`;
  }
  return undefined;
};
const srv: Rule = (value) =>
  typeof value === 'string' && isServiceName(value)
    ? undefined
    : "the name of a service such as '_queuepair._tcp.example.com'";
const resolver: Rule = (value) => {
  const asked = value as Record<string, unknown>;
  const isResolver =
    isPlain(value) &&
    ['resolveSrv', 'resolve4', 'resolve6'].every((name) => typeof asked[name] === 'function');
  return isResolver ? undefined : 'a Resolver of node:dns/promises';
};
const encryption: Rule = (value) => (value === 'aes-256-gcm' ? undefined : "'aes-256-gcm', or left out");
const lifeline: Rule = (value) =>
  value === 'session' || value === 'brief' ? undefined : "'session' or 'brief'";
const device: Rule = (value) => {
  const isDevice = typeof value === 'object' && value !== null && 'allocPd' in value;
  return isDevice || filled(value) === undefined ? undefined : 'an open device or the name of one';
};
const LEVELS = ['debug', 'info', 'warn', 'error'];
const logger: Rule = (value) => {
  const methods = value as Record<string, unknown>;
  const isLogger = isPlain(value) && LEVELS.every((level) => typeof methods[level] === 'function');
  return isLogger ? undefined : `a logger: an object with the functions ${LEVELS.join(', ')}`;
};
const ADMISSION: Rules<AdmissionLimits> = {
  maxPerAddress: atLeastOne,
  connectsPerSecond: atLeastOne,
  burst: atLeastOne,
  maxHandshakes: atLeastOne,
  maxPerIdentity: atLeastOne,
  backlog: atLeastOne,
};

const RATE: Rules<TrafficRate> = {
  bytesPerSecond: integer(1, 2 ** 40),
  messagesPerSecond: integer(1, MOST_BURST),
  burstBytes: integer(1, MOST_BURST),
  burstMessages: integer(1, MOST_BURST),
};
const rate =
  (name: string): Rule =>
  (value) => {
    const fault = inside(RATE, `rates.${name}`)(value);
    const given = value as TrafficRate;
    if (fault !== undefined) return fault;
    if (given.burstBytes !== undefined && given.bytesPerSecond === undefined)
      return 'a rate with bytesPerSecond where it has burstBytes';
    if (given.burstMessages !== undefined && given.messagesPerSecond === undefined)
      return 'a rate with messagesPerSecond where it has burstMessages';
    return undefined;
  };
const RATES: Rules<ClientRates> = { fromClient: rate('fromClient'), toClient: rate('toClient') };

const STREAMS: Rules<StreamOptions> = { open: integer(0, 2 ** 31 - 1), windowBytes: integer(1, 2 ** 30 - 1) };

const RIGHTS: Rules<MemoryRights> = { read: truth, write: truth };

/** Header and tag of a fragment take 40 bytes of a slot; the peer refuses what its frames cannot tell. */
const SIZES = {
  receiveSlots: integer(1, 65_536),
  slotBytes: integer(64, 2 ** 31),
  maxMessageBytes: integer(0, 2 ** 30),
  sendQueueBytes: integer(0, 2 ** 40),
  bufferBytes: integer(0, 2 ** 40),
};

const PATH: Rules<ConnectionPathOptions> = {
  port: integer(1, 255),
  gidIndex: integer(0, 0xffff),
  trafficClass: integer(0, 255),
  flowLabel: integer(0, 0xfffff),
  hopLimit: integer(1, 255),
  timeout: integer(1, 31),
  retryCount: integer(0, 7),
  minRnrTimer: integer(0, 31),
  mtu: (value) => (PATH_MTUS.some((mtu) => mtu === value) ? undefined : `one of ${PATH_MTUS.join(', ')}`),
  peerAddress: (value) => (value === 'session' || value === 'any' ? undefined : "'session' or 'any'"),
};

const COMMON: Rules<CommonOptions> = {
  ...SIZES,
  maxOperations: integer(1, 65_536),
  streams: inside(STREAMS, 'streams'),
  path: inside(PATH, 'path'),
  encryption,
  lifeline,
  device,
  handshakeDeadlineMillis: integer(1, MAX_MILLIS),
  recoveryMillis: integer(0, MAX_MILLIS),
  keepAliveMillis: integer(0, MAX_MILLIS),
  onStep: callback,
  logger,
  warmUp: truth,
  revealPsns: truth,
};

export const LISTEN: Rules<ListenOptions> = {
  ...COMMON,
  host: filled,
  port: integer(0, 65_535),
  fd: integer(0, 2 ** 31 - 1),
  cert: pem('CERTIFICATE'),
  key: pem('PRIVATE KEY'),
  clientCa: pem('CERTIFICATE'),
  pfx,
  passphrase: filled,
  workers: integer(0, 1024),
  handler: (value) =>
    typeof value === 'function' || value instanceof URL ? undefined : 'a function or the URL of a module',
  slots: integer(1, 65_536),
  authorize: callback,
  onAudit: callback,
  admission: inside(ADMISSION, 'admission'),
  rates: inside(RATES, 'rates'),
};

export const CONNECT: Rules<ConnectOptions> = {
  ...COMMON,
  host: filled,
  port: integer(1, 65_535),
  hosts,
  srv,
  resolver,
  ca: pem('CERTIFICATE'),
  cert: pem('CERTIFICATE'),
  key: pem('PRIVATE KEY'),
  pfx,
  passphrase: filled,
  secureContext,
  servername: filled,
  signal,
};

const TERMS: Rules<ClientTerms> = {
  ...SIZES,
  maxConnections: integer(0, Number.MAX_SAFE_INTEGER),
  streams: inside(STREAMS, 'streams'),
  rights: inside(RIGHTS, 'rights'),
  rates: inside(RATES, 'rates'),
  encryption,
  lifeline,
};

const CERTIFICATES: Rules<ServerCertificates> = {
  cert: LISTEN.cert,
  key: LISTEN.key,
  clientCa: LISTEN.clientCa,
  pfx: LISTEN.pfx,
  passphrase: LISTEN.passphrase,
};

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkListen(options: unknown, handler: unknown): asserts options is ListenOptions {
  checkOptions('listen', options, LISTEN);
  if (options['fd'] !== undefined && options['port'] !== undefined)
    throw usageError('listen takes port or fd, not both: a socket that listens has its port');
  requireIdentity(options, 'listen needs');
  if (handler !== undefined && options['handler'] !== undefined)
    throw usageError('listen takes a handler as its second argument or as an option, not both');
  const given = handler ?? options['handler'];
  const { workers = 0 } = options;
  if (workers !== 0) checkWorkers(given, options);
  else if (typeof given !== 'function' && !(given instanceof URL && handler === undefined)) {
    throw usageError(`listen(options, handler): handler must be a function, not ${nameOf(given)}`);
  }
}

/** What workers use they load or open themselves. */
function checkWorkers(handler: unknown, { device }: Readonly<Record<string, unknown>>): void {
  if (!(handler instanceof URL))
    throw usageError(
      `with workers, handler must be the URL of a module, as new URL('../program/handler.js', import.meta.url), not ${nameOf(handler)}`,
    );
  if (typeof device === 'object')
    throw usageError('with workers, device must be a name: every worker opens one of its own');
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkConnect(options: unknown): asserts options is ConnectOptions {
  checkOptions('connect', options, CONNECT);
  if (options['secureContext'] !== undefined) {
    const other = ['ca', 'cert', 'key', 'pfx', 'passphrase'].find((name) => options[name] !== undefined);
    if (other !== undefined) throw usageError(`connect takes secureContext or ${other}, not both`);
  }
  checkPlace(options);
  const { cert, key, pfx } = options;
  if (cert !== undefined || key !== undefined || pfx !== undefined) requireIdentity(options, 'connect needs');
}

/** One server, several, or a service: what does not go together would leave one of them out. */
function checkPlace({ host, port, hosts, srv, resolver }: Readonly<Record<string, unknown>>): void {
  if (host !== undefined && hosts !== undefined) throw usageError('connect takes host or hosts, not both');
  if (srv === undefined) {
    if (resolver !== undefined) throw usageError('connect takes resolver with srv only');
    return;
  }
  const other =
    host !== undefined ? 'host' : hosts !== undefined ? 'hosts' : port !== undefined ? 'port' : undefined;
  if (other !== undefined)
    throw usageError(`connect takes srv or ${other}, not both: DNS tells hosts and ports`);
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkCertificates(certificates: unknown): void {
  checkOptions('setCertificates', certificates, CERTIFICATES);
  requireIdentity(certificates, 'setCertificates needs');
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT: `authorize` returned something else than terms. */
export function checkTerms(terms: unknown): asserts terms is ClientTerms {
  if (!isPlain(terms)) {
    throw usageError(`authorize must return true, false or terms, not ${nameOf(terms)}`);
  }
  checkEach(terms, TERMS, '');
}

function requireIdentity({ cert, key, pfx }: Readonly<Record<string, unknown>>, who: string): void {
  if (pfx !== undefined) {
    if (cert !== undefined || key !== undefined) throw usageError(`${who} pfx, or cert and key, not both`);
    return;
  }
  if (cert === undefined) throw usageError(`${who} cert: a certificate as PEM text (or pfx)`);
  if (key === undefined) throw usageError(`${who} key: the private key of cert, as PEM text`);
}
