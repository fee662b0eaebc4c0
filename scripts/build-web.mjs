/**
 * Makes `build/web` of `web/`: the dashboard's page, and one file each of its script and style, with uPlot in them. Nothing that a
 * browser loads comes from elsewhere.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SOURCE = join(root, 'web');
const OUTPUT = join(root, 'build', 'web');
/** Copied as they are. */
const STATIC = ['dashboard.html', 'dashboard.svg'];
const OUTPUTS = [...STATIC, 'dashboard.js', 'dashboard.css'];

/** The paths of its sources, relative to the root. */
export const findWebSources = () =>
  existsSync(SOURCE)
    ? readdirSync(SOURCE)
        .sort()
        .map((name) => join('web', name))
    : [];

export const isWebBuilt = () =>
  !existsSync(SOURCE) || OUTPUTS.every((name) => existsSync(join(OUTPUT, name)));

/** @returns {Promise<string | null>} what went wrong, or `null` */
export async function buildWeb() {
  if (!existsSync(SOURCE)) return null;
  // Loaded here because it may just have been installed.
  const { build } = await import('esbuild');
  mkdirSync(OUTPUT, { recursive: true });
  const common = { bundle: true, minify: true, logLevel: 'silent', legalComments: 'none' };
  try {
    await build({
      ...common,
      entryPoints: [join(SOURCE, 'main.ts')],
      outfile: join(OUTPUT, 'dashboard.js'),
      format: 'iife',
      target: 'es2022',
    });
    await build({
      ...common,
      entryPoints: [join(SOURCE, 'dashboard.css')],
      outfile: join(OUTPUT, 'dashboard.css'),
      target: ['chrome123', 'firefox120', 'safari17.5'],
    });
  } catch (error) {
    return `the build of web/ failed: ${error instanceof Error ? error.message : error}`;
  }
  // uPlot is in the script and the style.
  copyFileSync(join(root, 'node_modules', 'uplot', 'LICENSE'), join(OUTPUT, 'LICENSE-uplot.txt'));
  for (const name of STATIC) copyFileSync(join(SOURCE, name), join(OUTPUT, name));
  return null;
}
