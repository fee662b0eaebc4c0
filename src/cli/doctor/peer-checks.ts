/**
 * Looks at the way to a server: name, route, TCP, TLS both ways, and UDP both ways with small and full packets, which is how a
 * connection proves its path.
 */
import { lookup } from 'node:dns/promises';
import { connect as connectTcp } from 'node:net';
import { connect } from '../../connection/client/client.js';
import type { ConnectOptions } from '../../connection/options/connect-options.js';
import { openDevice } from '../../open-device.js';
import { RdmaError } from '../../verbs/errors.js';
import { hostPort } from '../../verbs/host-port.js';
import type { Target } from '../arguments.js';
import { nearOf } from '../local-address.js';
import { type Finding, ok, problem } from './finding.js';

export async function checkPeer(
  target: Target,
  options: ConnectOptions,
  timeoutMillis: number,
): Promise<Finding[]> {
  const where = hostPort(target.host, target.port);
  try {
    await lookup(target.host);
  } catch {
    return [
      problem(
        'name',
        'name-unknown',
        `${target.host} does not resolve`,
        'look at its spelling, /etc/hosts and DNS; an IP address works without them',
      ),
    ];
  }
  const tcp = await checkTcp(target, where, timeoutMillis);
  if (tcp.level !== 'ok') return [tcp];
  return [tcp, ...(await checkSession(target, where, options))];
}

const TCP_FINDINGS: Readonly<Record<string, (where: string) => Finding>> = {
  ECONNREFUSED: (where) =>
    problem(
      'tcp',
      'tcp-refused',
      `${where} is reached, and nothing listens there`,
      'start the server there (queuepair serve --host …), or give its port; a firewall may refuse as well',
    ),
  ENETUNREACH: (where) => noRoute(where),
  EHOSTUNREACH: (where) => noRoute(where),
  EADDRNOTAVAIL: (where) => noRoute(where),
};

const noRoute = (where: string): Finding =>
  problem(
    'tcp',
    'no-route',
    `no route leads from this machine to ${where}, or that host is off`,
    'look at ip route get HOST, at the interface, and at the address',
  );

function checkTcp({ host, port }: Target, where: string, timeoutMillis: number): Promise<Finding> {
  return new Promise((resolve) => {
    const beganAt = performance.now();
    const socket = connectTcp({ host, port });
    const settle = (finding: Finding): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(finding);
    };
    const timer = setTimeout(
      () =>
        settle(
          problem(
            'tcp',
            'tcp-filtered',
            `${where} does not answer, not even to refuse`,
            `a firewall drops TCP port ${port} on the way there or back, or no machine has that address: open it in both directions`,
          ),
        ),
      timeoutMillis,
    );
    socket.once('connect', () =>
      settle(
        ok(
          'tcp',
          `${where} answers after ${(performance.now() - beganAt).toFixed(1)} ms, from ${socket.localAddress}`,
        ),
      ),
    );
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const known = TCP_FINDINGS[error.code ?? ''];
      settle(
        known?.(where) ??
          problem(
            'tcp',
            'failed',
            `TCP to ${where} fails: ${error.message}`,
            'look at the network between the two',
          ),
      );
    });
  });
}

async function checkSession(
  target: Target,
  where: string,
  { device: name, ...options }: ConnectOptions,
): Promise<Finding[]> {
  try {
    await using device = typeof name === 'object' ? name : await openDevice(name, await nearOf(target.host));
    const connection = await connect({ ...options, ...target, device });
    const { peer } = connection;
    await connection.close();
    return [
      ok('tls', `TLS 1.3 with ${peer?.subject ?? 'the server'}; both certificates are accepted`),
      ok('udp', `small and full packets come through in both directions, ${carrierOf(device.counters())}`),
    ];
  } catch (error) {
    if (!(error instanceof RdmaError)) throw error;
    if (error.code !== 'ERR_RDMA_UNREACHABLE') return [sessionProblem(error, where)];
    return [ok('tls', 'TLS 1.3; both certificates are accepted'), udpProblem(error)];
  }
}

/** What carries the packets between this process and the server. */
function carrierOf(counters: Readonly<Record<string, number>>): string {
  const { portRingSentPackets = 0, portRingReceivedPackets = 0 } = counters;
  return portRingSentPackets + portRingReceivedPackets > 0
    ? 'through memory: the server is a process of this user on this host'
    : 'by UDP';
}

/** Codes of Node and OpenSSL about the certificate of the server. */
const SERVER_CERTIFICATE: Readonly<Record<string, readonly [Finding['code'] & string, string]>> = {
  CERT_HAS_EXPIRED: [
    'server-certificate-expired',
    'renew it on the server; if it has not expired, set the clock here',
  ],
  CERT_NOT_YET_VALID: ['server-certificate-not-yet-valid', 'compare the clocks of both machines (date -u)'],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    'server-name-wrong',
    'connect by a name that it holds, give that with --servername, or issue one for this host',
  ],
};
const UNKNOWN_AUTHORITY = [
  'server-authority-unknown',
  'give the authority of the server with --ca; two machines with development certificates need one --dev-certs directory',
] as const;
const AUTHORITY_CODES = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
];

function sessionProblem(error: RdmaError, where: string): Finding {
  const { refusal, message } = error;
  const system = (error.cause as NodeJS.ErrnoException | undefined)?.code ?? '';
  const known =
    SERVER_CERTIFICATE[system] ?? (AUTHORITY_CODES.includes(system) ? UNKNOWN_AUTHORITY : undefined);
  if (known !== undefined) return problem('tls', known[0], message, known[1]);
  if (refusal === 'certificate')
    return problem(
      'tls',
      'own-certificate-refused',
      message,
      'show a certificate (--cert, --key) that an authority of the server has signed and that is valid by its clock',
    );
  if (refusal === 'no-tls' || refusal === 'tls-version')
    return problem(
      'tls',
      'not-queuepair',
      message,
      `look at what listens on ${where}: it must be a server of queuepair`,
    );
  if (error.code === 'ERR_RDMA_TLS')
    return problem('tls', 'tls-failed', message, 'look at the log of the server');
  if (error.code === 'ERR_RDMA_REFUSED' || refusal !== undefined)
    return problem('session', 'refused', message, 'the server says why; its log says more');
  return problem('session', 'failed', message, 'look at the log of the server');
}

function udpProblem({ lost, message }: RdmaError): Finding {
  if (lost === 'large' || lost === 'large-to-peer' || lost === 'large-from-peer')
    return problem(
      'udp',
      'mtu-too-large',
      message,
      'lower it with --path-mtu, or raise the MTU of all links between the two',
    );
  if (lost === 'all-to-peer')
    return problem(
      'udp',
      'udp-blocked-to-peer',
      message,
      'packets from there arrive here, and ours do not arrive there: look at the firewall of the server first (nft list ruleset), then between the two',
    );
  if (lost === 'all-from-peer')
    return problem(
      'udp',
      'udp-blocked-from-peer',
      message,
      'our packets arrive there, and none comes back: look at the firewall of this machine first (nft list ruleset), then between the two',
    );
  return problem(
    'udp',
    'udp-blocked',
    message,
    'nothing arrives at either end: look at the firewalls of both machines (nft list ruleset) and between them',
  );
}
