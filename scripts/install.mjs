/**
 * What npm runs after it has installed the package: compiles the native addon where no prebuilt one fits. It never
 * fails an installation. In a clone it does nothing, because the commands there build for themselves.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonNeedsBuild, buildAddon } from './build-addon.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

try {
  if (!existsSync(join(root, 'src'))) await compileIfNothingFits();
} catch (error) {
  process.stderr.write(`the native addon was not built: ${error.message}\n`);
}

async function compileIfNothingFits() {
  const { loadAddon } = await import(new URL('../dist/addon.js', import.meta.url).href);
  if (typeof loadAddon() === 'string' && addonNeedsBuild()) await buildAddon();
}
