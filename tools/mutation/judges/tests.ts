/** Runs the test files of its arguments in this process: `node --test-reporter=failures.js tests.js FILE…`. */
import { pathToFileURL } from 'node:url';

for (const path of process.argv.slice(2)) await import(pathToFileURL(path).href);
