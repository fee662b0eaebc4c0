/**
 * `node scripts/run.mjs FILE ARGS…`: sets the clone up, then runs FILE (relative to the package root) in this process.
 *
 * In this process rather than in a child, so that signals, standard input and the exit code need no forwarding. FILE
 * sees the arguments that it would see under `node FILE ARGS…`, and stack traces name TypeScript lines.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setUp } from './setup.mjs';

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write('usage: node scripts/run.mjs FILE ARGS…\n');
  process.exit(2);
}
await setUp();
const program = resolve(root, file);
process.argv = [process.argv[0], program, ...args];
process.setSourceMapsEnabled(true);
await import(pathToFileURL(program).href);
