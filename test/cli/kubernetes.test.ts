/**
 * The recipes for Kubernetes: every object is one that the API takes, and what the pods of soft.yaml run works between two network
 * namespaces, which are what pods are to the network.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { runProgram, testDir } from '../../testkit/program.js';
import { VethLink } from '../../testkit/veth-link.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const RECIPES = fileURLToPath(new URL('../../../docs/recipes/kubernetes/', import.meta.url));
const require = createRequire(import.meta.url);
/** By its path: the package has no word for them. */
const SCHEMAS = join(dirname(require.resolve('kubernetes-models')), '_schemas');

interface Container {
  readonly args: readonly string[];
  readonly readinessProbe?: { readonly exec: { readonly command: readonly string[] } };
}
interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly Container[] } } };
}
/** Compiled from the schema of the API. It looks at the fields that the schema has, and at no others. */
type Validate = ((object: object) => boolean) & { readonly errors?: unknown };

const objectsOf = (file: string): KubernetesObject[] =>
  parseAllDocuments(readFileSync(join(RECIPES, file), 'utf8')).map((document) => {
    assert.deepEqual(document.errors, [], file);
    return document.toJS() as KubernetesObject;
  });

/** Wraps an object; `unread` then has the paths of properties that nobody has looked at. */
function watched<T extends object>(object: T, path: string, unread: Set<string>): T {
  for (const key of Object.keys(object)) unread.add(`${path}.${key}`);
  const children = new Map<string, object>();
  return new Proxy(object, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof key !== 'string') return value;
      unread.delete(`${path}.${key}`);
      if (typeof value !== 'object' || value === null) return value;
      const child = children.get(key) ?? watched(value, `${path}.${key}`, unread);
      children.set(key, child);
      return child;
    },
  });
}

/** @throws AssertionError for fields of another type, missing ones, and those that the API does not know. */
function checkObject(object: KubernetesObject): void {
  const [group = '', version = ''] = object.apiVersion.includes('/')
    ? object.apiVersion.split('/')
    : ['core', object.apiVersion];
  const [name = ''] = group.split('.');
  const schema = `IoK8sApi${capital(name)}${capital(version)}${object.kind}`;
  const { validate } = require(join(SCHEMAS, schema)) as { validate: Validate };
  const unread = new Set<string>();
  assert.ok(validate(watched(object, object.kind, unread)), JSON.stringify(validate.errors));
  assert.deepEqual([...unread], [], 'fields that the API does not know');
}

const capital = (word: string): string => word.slice(0, 1).toUpperCase() + word.slice(1);

for (const file of readdirSync(RECIPES).filter((name) => name.endsWith('.yaml'))) {
  test(`every object of ${file} has the fields that the API of Kubernetes knows, and no others`, () => {
    const objects = objectsOf(file);
    assert.ok(objects.length > 0);
    for (const object of objects) checkObject(object);
  });
}

test('the check of objects finds a wrong type, a missing field and one that does not exist', () => {
  const text = readFileSync(join(RECIPES, 'soft.yaml'), 'utf8');
  const broken = (from: string, to: string): void => {
    assert.ok(text.includes(from));
    for (const document of parseAllDocuments(text.replace(from, to)))
      checkObject(document.toJS() as KubernetesObject);
  };
  assert.throws(() => broken('replicas: 3', 'replicas: three'), /replicas/);
  assert.throws(() => broken('      port: 4433', '      prot: 4433'), /port/);
  assert.throws(() => broken('periodSeconds: 10', 'periodSecond: 10'), /periodSecond/);
});

test('what the pods run works from pod to pod, and the probe says ready', {
  skip: VethLink.reasonToSkip(),
}, async () => {
  const [server, client] = objectsOf('soft.yaml').flatMap(
    ({ spec }) => spec?.template?.spec.containers ?? [],
  );
  assert.ok(server !== undefined && client !== undefined);
  const certificates = join(testDir(), 'certs');
  const made = await runProgram(['certs', '--dev-certs', certificates, '--name', '10.77.1.1']);
  assert.equal(made.code, 0, made.stderr);
  const files = {
    server: { 'tls.crt': 'server.pem', 'tls.key': 'server-key.pem', 'ca.crt': 'ca.pem' },
    client: { 'tls.crt': 'client.pem', 'tls.key': 'client-key.pem', 'ca.crt': 'ca.pem' },
  };
  /** As kubelet and the volume of the Secret make them. */
  const argsOf = (container: Container, who: 'server' | 'client'): string[] =>
    container.args.map((arg) =>
      arg
        .replace('$(POD_IP)', '10.77.1.1')
        .replace(/\/etc\/queuepair\/([\w.]+)/, (_, name: keyof (typeof files)['server']) =>
          join(certificates, files[who][name]),
        ),
    );
  const link = new VethLink(['10.77.1.1', '10.77.1.2']);
  try {
    link.inside(0, 'ip', 'link', 'set', 'lo', 'up');
    const [pod] = link.namespaces;
    const running = spawn('ip', ['netns', 'exec', pod, process.execPath, MAIN, ...argsOf(server, 'server')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: running.stdout })[Symbol.asyncIterator]();
    for (
      let line = await lines.next();
      !String(line.value).includes('"observing"');
      line = await lines.next()
    )
      assert.ok(line.done !== true, 'the server ended');
    const [program, ...probe] = server.readinessProbe?.exec.command ?? [];
    assert.equal(program, 'queuepair');
    link.inside(0, process.execPath, MAIN, ...probe);
    // No DNS of a cluster is here; test/connection/several-servers.test.ts has that.
    const asked = argsOf(client, 'client').map((arg) => (arg.startsWith('--srv=') ? '10.77.1.1' : arg));
    assert.ok(asked.includes('10.77.1.1'));
    link.inside(1, process.execPath, MAIN, ...asked);
    running.kill('SIGTERM');
    await once(running, 'exit');
  } finally {
    link.remove();
  }
});
