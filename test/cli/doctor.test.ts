/** Planted troubles, each with one right diagnosis: the code of the only problem that the doctor finds. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { issueCertificate, type KeyedCertificate } from '../../src/certificates/certificate-maker.js';
import { FINDING_CODES } from '../../src/cli/doctor/finding.js';
import { packageRoot } from '../../src/cli/package-root.js';
import { listen, type Server } from '../../src/connection/server/server.js';
import { FREE_DEVICE, type ProgramEvent, runProgram, testDir } from '../../testkit/program.js';
import { UDP_ONLY } from '../../testkit/udp-only.js';
import { VethLink } from '../../testkit/veth-link.js';
import { days, type TestCertificates, testCertificates } from '../session/support.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const TIMEOUT = ['--timeout', '1500'];

let certificates: TestCertificates;
const certificatesOnDisk: Record<string, string> = {};

function file(name: string, text: string): string {
  const path = join(testDir(), name);
  writeFileSync(path, text);
  return path;
}

function pair(name: string, { certPem, keyPem }: KeyedCertificate): void {
  certificatesOnDisk[name] = file(`${name}.pem`, certPem);
  certificatesOnDisk[`${name}-key`] = file(`${name}-key.pem`, keyPem);
}

before(async () => {
  certificates = await testCertificates();
  for (const name of ['ca', 'server', 'client', 'expiredClient', 'strangerCa', 'strangerClient'] as const)
    pair(name, certificates[name]);
});

const path = (name: string): string => certificatesOnDisk[name] ?? '';
const own = (name = 'client'): string[] => [
  '--ca',
  path('ca'),
  '--cert',
  path(name),
  '--key',
  path(`${name}-key`),
];

/** Codes of what is wrong. */
const problems = (events: readonly ProgramEvent[]): unknown[] =>
  events.filter(({ event, level }) => event === 'finding' && level === 'problem').map(({ code }) => code);

async function diagnosis(...args: string[]): Promise<unknown[]> {
  const { code, events, stderr } = await runProgram(['doctor', '--json', ...TIMEOUT, ...args]);
  assert.equal(stderr.replace(/^\(.*$/gm, ''), '');
  const found = problems(events);
  assert.equal(code, found.length > 0 ? 1 : 0);
  assert.equal(events.at(-1)?.event, 'summary');
  for (const { event, level, code: name, advice } of events) {
    if (event !== 'finding' || level === 'ok' || level === 'skipped') continue;
    assert((FINDING_CODES as readonly unknown[]).includes(name), String(name));
    assert(typeof advice === 'string' && advice.length > 10, 'it says what to do');
  }
  return found;
}

async function server(
  shown: KeyedCertificate,
  use: (target: string, server: Server) => Promise<void>,
): Promise<void> {
  const { certPem: cert, keyPem: key } = shown;
  const clientCa = certificates.ca.certPem;
  const device = FREE_DEVICE[1] as string;
  const running = await listen({ cert, key, clientCa, port: 0, device }, (connection) => connection.closed);
  await use(`127.0.0.1:${running.address.port}`, running);
  await running.close();
}

test('the document names each code that it may tell', () => {
  const text = readFileSync(join(packageRoot(), 'docs', 'command-line.md'), 'utf8');
  for (const code of FINDING_CODES) assert(text.includes(`\`${code}\``), code);
});

test('where nothing is wrong it says so, and that UDP works both ways with full packets', async () => {
  await server(certificates.server, async (target) => {
    const { code, stdout, events } = await runProgram(['doctor', target, ...FREE_DEVICE, ...own()]);
    assert.equal(code, 0, stdout);
    const carrier = UDP_ONLY === 'native' ? 'through memory: ' : 'by UDP';
    assert.match(stdout, /ok +udp +small and full packets come through in both directions, /);
    assert.ok(stdout.includes(`directions, ${carrier}`), stdout);
    assert.deepEqual(problems(events), []);
    assert.deepEqual(await diagnosis(target, ...FREE_DEVICE, ...own()), []);
  });
});

test('it says what carries the packets: UDP where a name asks for it', async () => {
  await server(certificates.server, async (target) => {
    const device = `${FREE_DEVICE[1]}&io=${UDP_ONLY}`;
    const { code, stdout } = await runProgram(['doctor', target, '--device', device, ...own()]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /ok +udp +small and full packets come through in both directions, by UDP/);
  });
});

test('a certificate of the server that has expired', async () => {
  await server(certificates.expiredServer, async (target) => {
    assert.deepEqual(await diagnosis(target, ...FREE_DEVICE, ...own()), ['server-certificate-expired']);
  });
});

test('clocks that differ: the certificate of the server is not valid yet', async () => {
  const tomorrow = await issueCertificate(certificates.ca, {
    commonName: 'tomorrow',
    use: 'server',
    names: ['127.0.0.1'],
    ...days(1, 30),
  });
  await server(tomorrow, async (target) => {
    assert.deepEqual(await diagnosis(target, ...FREE_DEVICE, ...own()), ['server-certificate-not-yet-valid']);
  });
});

test('an authority that is not the one of the server', async () => {
  await server(certificates.server, async (target) => {
    const flags = ['--ca', path('strangerCa'), '--cert', path('client'), '--key', path('client-key')];
    assert.deepEqual(await diagnosis(target, ...FREE_DEVICE, ...flags), ['server-authority-unknown']);
  });
});

test('a server certificate for another host', async () => {
  await server(certificates.elsewhereServer, async (target) => {
    assert.deepEqual(await diagnosis(target, ...FREE_DEVICE, ...own()), ['server-name-wrong']);
  });
});

test('an own certificate that the server does not accept', async () => {
  await server(certificates.server, async (target) => {
    assert.deepEqual(await diagnosis(target, ...FREE_DEVICE, ...own('strangerClient')), [
      'own-certificate-refused',
    ]);
  });
});

test('own certificates that have expired, or whose key is another one', async () => {
  assert.deepEqual(await diagnosis(...FREE_DEVICE, ...own('expiredClient')), ['certificate-expired']);
  const mixed = ['--cert', path('client'), '--key', path('server-key')];
  assert.deepEqual(await diagnosis(...FREE_DEVICE, ...mixed), ['key-mismatch']);
  const missing = ['--cert', '/no/such.pem', '--key', path('client-key')];
  assert.deepEqual(await diagnosis(...FREE_DEVICE, ...missing), ['certificate-missing']);
});

test('a UDP port that another program has', async () => {
  const other = createSocket('udp4').bind(0, '127.0.0.1');
  await once(other, 'listening');
  assert.deepEqual(await diagnosis('--device', `soft:127.0.0.1?port=${other.address().port}`), [
    'udp-port-taken',
  ]);
  other.close();
});

test('a device that is not there, and an address of another machine', async () => {
  assert.deepEqual(await diagnosis('--device', 'nosuch0'), ['device-missing']);
  assert.deepEqual(await diagnosis('--device', 'soft:203.0.113.9'), ['address-not-here']);
});

test('QUEUEPAIR_ADDON that names no file', async () => {
  const env = { QUEUEPAIR_ADDON: '/no/such.node', NODE_NO_WARNINGS: '1' };
  const { code, events } = await runProgram(['doctor', '--json', ...FREE_DEVICE], { env });
  assert.equal(code, 1);
  assert.deepEqual(problems(events), ['addon-wrong']);
});

test('a TCP port on which nothing listens, a server of something else, a name that does not resolve', async () => {
  assert.deepEqual(await diagnosis('127.0.0.1:1', ...FREE_DEVICE, ...own()), ['tcp-refused']);
  assert.deepEqual(await diagnosis('no-such-host.invalid', ...own()), ['name-unknown']);
  const other = createServer((socket) => {
    socket.on('error', () => {});
    socket.end('hello, this is no TLS at all\n');
  }).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  assert.deepEqual(await diagnosis(`127.0.0.1:${port}`, ...FREE_DEVICE, ...own()), ['not-queuepair']);
  other.close();
});

test('little memory that may be locked is told, for RNICs', {
  skip: spawnSync('prlimit', ['--version']).error !== undefined && 'prlimit is not installed',
}, async () => {
  const args = ['--memlock=65536', process.execPath, MAIN, 'doctor', '--json', ...FREE_DEVICE];
  const { stdout } = spawnSync('prlimit', args, { encoding: 'utf8' });
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ProgramEvent);
  const memlock = events.find(({ check }) => check === 'memlock');
  assert.equal(memlock?.['code'], 'memlock-low');
});

// --- two machines -----------------------------------------------------------------------------------------------------

const HOSTS = ['10.94.0.1', '10.94.0.2'] as const;
const noNetwork =
  VethLink.reasonToSkip() || (spawnSync('nft', ['--version']).error !== undefined && 'nft is not installed');
let link: VethLink | undefined;

/** A server in its network, and the doctor in another one; `rule` is one of nftables for what comes in there. */
async function betweenNetworks(
  side: 'client' | 'server',
  rule: string | undefined,
  target: string,
): Promise<unknown[]> {
  link = new VethLink(HOSTS);
  const { namespaces } = link;
  const inside = (at: 0 | 1, ...args: string[]) =>
    spawn('ip', ['netns', 'exec', namespaces[at], process.execPath, MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const dir = join(testDir(), 'network-certs');
  mkdirSync(dir, { recursive: true });
  const shown = await issueCertificate(certificates.ca, {
    commonName: 'there',
    use: 'server',
    names: [HOSTS[1]],
    ...days(-1, 30),
  });
  pair('there', shown);
  const serving = inside(
    1,
    'serve',
    '--json',
    '--host',
    HOSTS[1],
    '--cert',
    path('there'),
    '--key',
    path('there-key'),
    '--client-ca',
    path('ca'),
  );
  try {
    await new Promise<void>((resolve, reject) => {
      serving.stdout.on('data', (text) => String(text).includes('"listening"') && resolve());
      serving.once('exit', () => reject(new Error('the server ended')));
    });
    if (rule !== undefined) {
      const at = side === 'client' ? 0 : 1;
      link.inside(
        at,
        'nft',
        `add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c ${rule}`,
      );
    }
    const doctor = inside(0, 'doctor', '--json', '--timeout', '2500', target, ...own());
    let stdout = '';
    for await (const text of doctor.stdout) stdout += String(text);
    return problems(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as ProgramEvent),
    );
  } finally {
    serving.kill('SIGKILL');
    link.remove();
  }
}

after(() => link?.remove());

const THERE = HOSTS[1];
/** Also what leaves. */
const BOTH_WAYS =
  'udp dport 4791 drop; add chain inet t o { type filter hook output priority 0; }; add rule inet t o udp dport 4791 drop';
const NETWORK_TROUBLES: readonly [
  string,
  'client' | 'server',
  string | undefined,
  string,
  readonly string[],
][] = [
  ['no trouble', 'server', undefined, THERE, []],
  [
    'a firewall that drops UDP on the way there',
    'server',
    'udp dport 4791 drop',
    THERE,
    ['udp-blocked-to-peer'],
  ],
  [
    'a firewall that drops UDP on the way back',
    'client',
    'udp dport 4791 drop',
    THERE,
    ['udp-blocked-from-peer'],
  ],
  ['a firewall that drops UDP both ways', 'client', BOTH_WAYS, THERE, ['udp-blocked']],
  ['a path that carries small packets only', 'server', 'udp length > 600 drop', THERE, ['mtu-too-large']],
  ['a firewall that drops TCP', 'server', 'tcp dport 4433 drop', THERE, ['tcp-filtered']],
  ['no route', 'server', undefined, '203.0.113.1', ['no-route']],
];
for (const [what, side, rule, target, expected] of NETWORK_TROUBLES) {
  test(`between two networks: ${what}`, { skip: noNetwork }, async () => {
    assert.deepEqual(await betweenNetworks(side, rule, target), expected);
  });
}
