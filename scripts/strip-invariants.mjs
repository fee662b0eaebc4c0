/** Takes the checks of invariants (src/verbs/invariant.ts) out of compiled files, for the package. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';

const OPTIONS = {
  loader: 'js',
  target: 'es2022',
  dropLabels: ['INVARIANT'],
  // Of esbuild's choices only the label's statements and comments go.
  legalComments: 'inline',
};
const IMPORT = /^import \{ invariant \} from ".*\/invariant\.js";\n/gm;

/** @param {string} folder with the compiled files; those below count as well */
export function stripInvariants(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) stripInvariants(path);
    else if (/^invariant\.(js|d\.ts)$/.test(entry.name)) rmSync(path);
    else if (entry.name.endsWith('.js')) stripFile(path);
  }
}

function stripFile(path) {
  const text = readFileSync(path, 'utf8');
  if (!text.includes('INVARIANT:')) return;
  const { code } = transformSync(text, OPTIONS);
  writeFileSync(path, code.replace(IMPORT, ''));
}
