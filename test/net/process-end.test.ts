/** Which sockets and servers keep a process alive, in node:net and here: each row is a program of its own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { FREE_DEVICE, testCertificates } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';
import {
  closing,
  listening,
  PLAIN_WORLD,
  portOf,
  type Row,
  rest,
  SURE_MILLIS,
  testRows,
  type World,
} from './world.js';

/** A process that stays does so for this long, after which its program ends it. */
const STAY_MILLIS = 300;
const MEETING = `
  const server = net.createServer(serverOptions, (socket) => socket.on('error', () => {}).resume());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const taking = once(server, 'connection');
  const socket = net.connect({ port: server.address().port, host: '127.0.0.1', ...clientOptions });
  await once(socket, 'connect');
  const [taken] = await taking;
  socket.resume();
`;
const LATER = `setTimeout(() => { console.log('stayed'); process.exit(); }, ${STAY_MILLIS}).unref();`;

const PROCESSES: readonly Row[] = [
  [
    'a process whose server and sockets have closed ends by itself',
    async (world) => {
      assert.equal(await run(world, `${MEETING} socket.end(); server.close();`), 'ended');
    },
  ],
  [
    'a process with a server and sockets that are all unref ends by itself',
    async (world) => {
      assert.equal(await run(world, `${MEETING} server.unref(); socket.unref(); taken.unref();`), 'ended');
      assert.equal(
        await run(world, "await once(net.createServer(serverOptions).unref().listen(0), 'listening')"),
        'ended',
      );
    },
  ],
  [
    'a server that listens keeps its process alive, also when unref was taken back',
    async (world) => {
      const program = `${MEETING} server.unref().ref(); socket.unref(); taken.unref(); ${LATER}`;
      assert.equal(await run(world, program), 'stayed');
    },
  ],
  [
    'so does a socket that connected, and one that a server took',
    async (world) => {
      for (const others of ['server, taken', 'server, socket']) {
        const program = `${MEETING} for (const other of [${others}]) other.unref(); ${LATER}`;
        assert.equal(await run(world, program), 'stayed');
      }
    },
  ],
  [
    'ref and unref before it is connected count afterwards',
    async (world) => {
      const early = (calls: string): string =>
        `${MEETING.replace('net.connect(', `new net.Socket(clientOptions)${calls}.connect(`)} server.unref(); taken.unref();`;
      assert.equal(await run(world, early('.unref()')), 'ended');
      assert.equal(await run(world, `${early('.unref()')} socket.ref(); ${LATER}`), 'stayed');
      assert.equal(await run(world, `${early('.unref().ref()')} ${LATER}`), 'stayed');
    },
  ],
  [
    'what was written before the last destroy arrives though nothing else keeps the process alive',
    async (world) => {
      const server = await listening(world);
      const taking = once(server, 'connection');
      const sending = run(
        world,
        `const socket = net.connect({ port: ${portOf(server)}, host: '127.0.0.1', ...theirs }).unref();
         await once(socket, 'connect');
         socket.end('a'.repeat(1_000_000));
         socket.on('finish', () => socket.destroy()).resume();`,
      );
      const [taken] = await taking;
      const arriving = rest(taken).catch(() => '');
      assert.equal(await sending, 'ended');
      assert.equal((await within(arriving)).length, 1_000_000);
      await closing(server);
    },
  ],
];

testRows('process-end', PROCESSES);

const { caPem, server: certificates } = await testCertificates();

/** What the program has said when it ended, `ended` when nothing. */
async function run(world: World, program: string): Promise<string> {
  const source = `import { once } from 'node:events';\n${setting(world)}\n${program}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = text(child.stdout);
  const timer = setTimeout(() => child.kill('SIGKILL'), SURE_MILLIS);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(timer);
  if (signal === 'SIGKILL') return 'never ended';
  assert.equal(code, 0);
  return (await said).trim() || 'ended';
}

/** `net`, and options of a server and of clients to it; `theirs` for clients to a server of this process. */
function setting({ name, isOurs, clientOptions }: World): string {
  if (!isOurs)
    return "import net from 'node:net'; const serverOptions = {}, clientOptions = {}, theirs = {};";
  const net = `import net from '${moduleUrl('net/module.js')}';`;
  if (name !== PLAIN_WORLD) {
    const { certPem: cert, keyPem: key } = certificates;
    return `${net}
      const serverOptions = ${JSON.stringify({ cert, key, device: FREE_DEVICE })};
      const clientOptions = ${JSON.stringify({ ca: caPem, device: FREE_DEVICE })}, theirs = clientOptions;`;
  }
  return `${net}
    import { openDevice } from '${moduleUrl('open-device.js')}';
    const device = (await openDevice('${FREE_DEVICE}')).unref();
    const { udpPort } = await device.queryPort();
    const serverOptions = { rdma: 'rsocket', device, udpPort }, clientOptions = serverOptions;
    const theirs = ${JSON.stringify({ rdma: 'rsocket', device: FREE_DEVICE, udpPort: Reflect.get(clientOptions, 'udpPort') })};`;
}

/** Of the sources beside this test, wherever they are built. */
const moduleUrl = (name: string): string => new URL(`../../src/${name}`, import.meta.url).href;
