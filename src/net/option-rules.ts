/**
 * What options of sockets and servers may be. A server refuses options that do not exist, because a typo in `clientCa` would let
 * everybody in. `connect` ignores them, as agents hand over all they have; what it knows it checks.
 */
import { BlockList } from 'node:net';
import { CONNECT, LISTEN } from '../connection/options/option-rules.js';
import { RdmaError, usageError } from '../verbs/errors.js';
import {
  callback,
  checkEach,
  checkOptions,
  filled,
  integer,
  isPlain,
  MAX_MILLIS,
  nameOf,
  type Rule,
  signal,
  truth,
} from '../verbs/option-check.js';
import { nodeError, notOffered } from './net-errors.js';
import type {
  ConnectDefaults,
  ServerListenOptions,
  ServerOptions,
  SessionConnectOptions,
  SessionListenOptions,
  SocketConnectOptions,
  SocketOptions,
} from './options.js';

type RuleTable<Options> = { readonly [Name in keyof Required<Options>]: Rule };

/** Options that the connection below takes, by name. */
const SHARED = [
  'device',
  'encryption',
  'handshakeDeadlineMillis',
  'keepAliveMillis',
  'lifeline',
  'logger',
  'path',
  'receiveSlots',
  'recoveryMillis',
  'slotBytes',
  'streams',
] as const;
const CLIENT = [...SHARED, 'ca', 'cert', 'key', 'passphrase', 'pfx', 'secureContext', 'servername'] as const;
const SERVED = [
  ...SHARED,
  'admission',
  'authorize',
  'cert',
  'clientCa',
  'key',
  'onAudit',
  'passphrase',
  'pfx',
  'slots',
] as const satisfies readonly (keyof SessionListenOptions)[];

export type ClientSettings = Pick<SessionConnectOptions, (typeof CLIENT)[number]>;
export type ServerSettings = Pick<SessionListenOptions, (typeof SERVED)[number]>;

const rdma: Rule = (value) =>
  value === 'session' || value === 'rsocket' ? undefined : "'session' or 'rsocket'";
const bytes = integer(0, 2 ** 31 - 1);
const udpPort = integer(1, 65_535);
const iomapEntries = integer(0, 128);
const blockList: Rule = (value) => (value instanceof BlockList ? undefined : 'a BlockList of node:net');
const onread: Rule = (value) => {
  const { buffer, callback: called } = (isPlain(value) ? value : {}) as Record<string, unknown>;
  const isMemory = typeof buffer === 'function' || (buffer instanceof Uint8Array && buffer.length > 0);
  return isMemory && typeof called === 'function'
    ? undefined
    : 'an object with buffer, a Uint8Array or a function that gives one, and callback, a function';
};

const DEFAULTS = [...CLIENT, 'ownConnection', 'rdma', 'udpPort', 'iomapEntries', 'forkSafe'] as const;

const SOCKET_RULES: RuleTable<SocketOptions & ConnectDefaults> = {
  ...pick(CONNECT, CLIENT),
  allowHalfOpen: truth,
  highWaterMark: bytes,
  signal,
  rdma,
  udpPort,
  iomapEntries,
  ownConnection: truth,
  forkSafe: truth,
  onread,
};

const CONNECT_RULES: Readonly<Record<string, Rule>> = {
  ...SOCKET_RULES,
  port: integer(1, 65_535),
  host: filled,
  family: (value) => ([0, 4, 6].includes(value as number) ? undefined : '0, 4 or 6'),
  hints: bytes,
  lookup: callback,
  blockList,
  keepAlive: truth,
  keepAliveInitialDelay: integer(0, MAX_MILLIS),
};

const SERVER_RULES: RuleTable<ServerOptions> = {
  ...pick(LISTEN, SERVED),
  allowHalfOpen: truth,
  highWaterMark: bytes,
  pauseOnConnect: truth,
  blockList,
  rdma,
  udpPort,
  iomapEntries,
  noDelay: truth,
  keepAlive: truth,
  keepAliveInitialDelay: integer(0, MAX_MILLIS),
};

const LISTEN_RULES: RuleTable<ServerListenOptions> = {
  port: integer(0, 65_535),
  host: filled,
  backlog: bytes,
  signal,
  exclusive: truth,
  readableAll: truth,
  writableAll: truth,
  ipv6Only: truth,
  reusePort: truth,
};

/** Of a whole machine of node:net, these mean something that there is not here: better a refusal than silence. */
const NOT_OFFERED: Readonly<Record<string, string>> = {
  fd: 'sockets over an open handle',
  localAddress: 'localAddress: name the device on that address (`device`)',
  localPort: 'localPort',
};

/** Whoever gives one of these takes the socket for secure, which an rsocket is not. */
const SECURING = [
  'ca',
  'cert',
  'key',
  'pfx',
  'secureContext',
  'clientCa',
  'authorize',
  'encryption',
] as const;
/** `servername` is not among them: agents of node:http give it with every socket. */
const OF_SESSIONS = [...new Set([...CLIENT, ...SERVED])].filter(
  (name) => name !== 'device' && name !== 'servername',
);

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_NOT_SUPPORTED. */
export function checkSocket(options: unknown): asserts options is SocketOptions & ConnectDefaults {
  if (!isPlain(options)) throw usageError(`Socket takes an object with options, not ${nameOf(options)}`);
  refuseWhatThereIsNot(options);
  const given = known(options, SOCKET_RULES);
  checkEach(given, SOCKET_RULES, '');
  if (given['rdma'] === 'rsocket') refuseOfSessions(given);
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_NOT_SUPPORTED; ERR_RDMA_INVALID_STATE. */
export function checkConnect(options: SocketConnectOptions, isFree: boolean): void {
  if (!isFree) {
    throw new RdmaError(
      'ERR_RDMA_INVALID_STATE',
      'the socket is connected, or was until now: make a new one, or wait for its close',
    );
  }
  refuseWhatThereIsNot(options);
  const { cert, key } = options;
  const given = known(options, CONNECT_RULES);
  if (options.rdma === 'rsocket') refuseOfSessions(given);
  else refuseOfRsockets(given);
  checkEach(given, CONNECT_RULES, '');
  if ((cert === undefined) !== (key === undefined))
    throw usageError('connect needs cert and key, or neither');
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkServer(options: unknown): asserts options is ServerOptions {
  checkOptions('createServer', options, SERVER_RULES);
  if (options['rdma'] === 'rsocket') {
    refuseOfSessions(options);
    return;
  }
  refuseOfRsockets(options);
  for (const name of ['cert', 'key'] as const) {
    if (options[name] !== undefined) continue;
    throw usageError(
      `createServer needs ${name}, as PEM text: sockets travel over secure connections ` +
        "({ rdma: 'rsocket' } asks for the plain protocol)",
    );
  }
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkListen(options: unknown): asserts options is ServerListenOptions {
  if (isPlain(options)) refuseOfListeners(options);
  checkOptions('listen', options, LISTEN_RULES);
}

/** As node:net refuses them. */
export function checkTimeout(millis: unknown, listener: unknown): void {
  if (typeof millis !== 'number') {
    throw nodeError(
      'ERR_INVALID_ARG_TYPE',
      `setTimeout takes milliseconds as a number, not ${nameOf(millis)}`,
      TypeError,
    );
  }
  if (!(millis >= 0 && Number.isFinite(millis))) {
    throw nodeError('ERR_OUT_OF_RANGE', `setTimeout takes milliseconds from 0 on, not ${millis}`, RangeError);
  }
  if (listener !== undefined && typeof listener !== 'function') {
    throw nodeError(
      'ERR_INVALID_ARG_TYPE',
      `setTimeout takes a function, not ${nameOf(listener)}`,
      TypeError,
    );
  }
}

/** What of the options of a new socket is meant for `connect`. */
export const connectDefaults = (options: ConnectDefaults): ConnectDefaults => pick(options, DEFAULTS);

/** What the connection under a socket is made with. An empty server name, as agents give it, is none. */
export function clientSettings(options: SocketConnectOptions): ClientSettings {
  const settings = pick(options, CLIENT);
  if (settings.servername === '') delete settings.servername;
  return settings;
}

/** `options` were checked: `cert` and `key` are there. */
export const serverSettings = (options: ServerOptions): ServerSettings =>
  pick(options as ServerOptions & ServerSettings, SERVED);

function refuseWhatThereIsNot(options: object): void {
  for (const [name, what] of Object.entries(NOT_OFFERED)) {
    const value = (options as Record<string, unknown>)[name];
    if (value !== undefined && value !== null) throw notOffered(what);
  }
}

function refuseOfListeners({ ipv6Only, reusePort }: Record<string, unknown>): void {
  if (ipv6Only === true) throw notOffered('ipv6Only: give the address to listen at as host');
  if (reusePort === true) throw notOffered('reusePort: a port has one server');
}

function refuseOfSessions(options: Readonly<Record<string, unknown>>): void {
  const isGiven = (name: string): boolean => options[name] !== undefined;
  const given = SECURING.find(isGiven) ?? OF_SESSIONS.find(isGiven);
  if (given === undefined) return;
  const isSecuring = SECURING.some((name) => name === given);
  const why = isSecuring ? 'authenticates nobody and hides nothing' : 'has no session';
  throw usageError(
    `${given} has no meaning with { rdma: 'rsocket' }, which ${why}: leave out one of the two`,
  );
}

function refuseOfRsockets(options: Readonly<Record<string, unknown>>): void {
  const given = (['udpPort', 'iomapEntries', 'forkSafe'] as const).find(
    (name) => options[name] !== undefined,
  );
  if (given !== undefined) throw usageError(`${given} has a meaning with { rdma: 'rsocket' } alone`);
}

/** Of agents come names that mean nothing here, and `null` and '' for what they do not have. */
function known(options: object, rules: Readonly<Record<string, Rule>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).filter(
      ([name, value]) => Object.hasOwn(rules, name) && value !== null && value !== '',
    ),
  );
}

function pick<T extends object, K extends keyof T>(
  object: T,
  keys: readonly K[],
): { -readonly [Name in K]: T[Name] } {
  const result: Partial<T> = {};
  for (const key of keys) if (object[key] !== undefined && object[key] !== null) result[key] = object[key];
  return result as { -readonly [Name in K]: T[Name] };
}
