/** What a newcomer tries: README's first program, imports of every entry in both ways, the demo, examples, a bundle of one's own. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** README's first block of JavaScript. */
export function firstProgram(root: string): string {
  const code = /^```js\n([\s\S]*?)^```/m.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1];
  if (code === undefined) throw new Error('README has no program');
  return code;
}

/** As README tells users of TypeScript. */
export const asTypeScript = (code: string): string =>
  code.replaceAll('connection.remoteBuffer', '$&!').replaceAll('await connection.receive())', '$&!');

export function entriesOf(root: string): string[] {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object };
  return Object.keys(exports).map((name) => name.replace(/^\./, 'queuepair'));
}

export const imports = (entries: readonly string[]): string =>
  `${entries.map((entry, index) => `import * as m${index} from '${entry}';`).join('\n')}
console.log([${entries.map((_, index) => `Object.keys(m${index}).length`).join(', ')}].join(' '));
`;

export const requires = (entries: readonly string[]): string =>
  `const { RdmaError } = require('queuepair');
if (RdmaError !== require('queuepair/verbs').RdmaError) throw new Error('two entries have an RdmaError each');
console.log([${entries.map((entry) => `Object.keys(require('${entry}')).length`).join(', ')}].join(' '));
`;

/** Opens a device over the native addon, and fails where that is not found. */
export const NATIVE = `import { openDevice } from 'queuepair/endpoint';
const device = await openDevice('soft:127.0.0.1?port=0&io=native');
console.log('exact:', (await device.queryPort()).exactIcrc);
await device.close();
`;

/** Packages that examples need, in the versions that the tests of this project have. */
export function examplePackages(root: string): string[] {
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  return ['undici', 'ws', 'ioredis', 'mysql2', 'pg', 'valibot'].map(
    (name) => `${name}@${devDependencies[name]}`,
  );
}

export const exampleNames = (root: string): string[] =>
  readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.mjs'));
