/** The files that the demo carries: some of this package's own and a random one for each client. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { packageRoot } from '../package-root.js';
import type { DemoFile } from './protocol.js';

const RANDOM_BYTES = 3 * 1024 * 1024;
const DOCUMENTS = ['docs/protocol.md', 'docs/rocev2.md', 'docs/cm.md', 'docs/devices.md'];

/** Files for the client `number`; the random one is made in `dir`. */
export async function demoFiles(number: number, dir: string): Promise<DemoFile[]> {
  const root = packageRoot();
  const document = DOCUMENTS[(number - 1) % DOCUMENTS.length] ?? 'package.json';
  const readme = firstExisting([join(root, 'README.md'), join(root, 'package.json')]);
  const other = firstExisting([join(root, document)]);
  const random = join(dir, `random-${number}.bin`);
  await writeFile(random, randomBytes(RANDOM_BYTES));
  return [readme, other, random].flatMap((path) =>
    path === undefined ? [] : [{ name: basename(path), path }],
  );
}

const firstExisting = (paths: readonly string[]): string | undefined =>
  paths.find((path) => existsSync(path));
