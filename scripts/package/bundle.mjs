/**
 * Makes the package's JavaScript: a file for each entry and each program, and chunks of what they share. The packages that the library and
 * the program use are inside, so that an installation brings no other package along, and so are their licences.
 *
 * Invariants:
 * - Entries share their chunks: an `RdmaError` of one is that of all others.
 * - Nothing is loaded that is not used: certificates, metrics and the program are files of their own.
 * - Checks of invariants (src/verbs/invariant.ts) are left out.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const src = (path) => join(root, 'src', path);

const COMMON = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node18',
  splitting: true,
  chunkNames: 'chunk-[hash]',
  entryNames: '[name]',
  dropLabels: ['INVARIANT'],
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
  absWorkingDir: root,
  inject: [join(root, 'scripts', 'package', 'runtime-check.mjs')],
};
/** What only some programs need, and install themselves. */
const OPTIONAL = ['prom-client', '@opentelemetry/api'];
/** Started by its path, which is beside whatever part of the bundle starts it. */
const WORKER = 'connection/workers/worker-main.ts';
/** Started by their path. */
const PROGRAMS = [
  'cli/main.ts',
  'cli/demo/server-process.ts',
  'cli/demo/client-process.ts',
  'cli/service/worker-service.ts',
];
/** CommonJS packages within ES modules ask for what Node.js has. */
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

/**
 * @param {string} folder where the files go
 * @param {readonly string[]} entries the sources of the package's entries, relative to src/
 * @returns {Promise<string[]>} the files of the entries, in their order
 */
export async function bundle(folder, entries) {
  const library = await build({
    ...COMMON,
    entryPoints: [...entries, 'native/addon.ts', WORKER].map(src),
    outdir: folder,
    external: OPTIONAL,
    plugins: [beside('./x509.cjs')],
  });
  const program = await build({
    ...COMMON,
    entryPoints: [...PROGRAMS, WORKER].map(src),
    outdir: join(folder, 'cli'),
    // prom-client, which is inside, needs @opentelemetry/api as it is loaded: so that is inside as well.
    banner: { js: REQUIRE },
    plugins: [beside('../x509.cjs')],
  });
  const x509 = await build({
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node18',
    legalComments: 'none',
    metafile: true,
    absWorkingDir: root,
    entryPoints: ['@peculiar/x509'],
    outfile: join(folder, 'x509.cjs'),
  });
  const inputs = [library, program, x509].flatMap(({ metafile }) => Object.keys(metafile.inputs));
  writeFileSync(join(folder, 'LICENSES.txt'), licenses(inputs));
  return entries.map((entry) => entry.replace(/\.ts$/, '.js'));
}

/** The library for certificates is CommonJS and loaded by `require`, in a way that a bundler cannot follow (x509-library.ts). */
function beside(place) {
  return {
    name: 'x509',
    setup({ onLoad }) {
      onLoad({ filter: /x509-library\.ts$/ }, ({ path }) => {
        const source = readFileSync(path, 'utf8');
        const contents = source.replace("require('@peculiar/x509')", `require('${place}')`);
        if (contents === source) throw new Error('x509-library.ts no longer requires @peculiar/x509');
        return { contents, loader: 'ts' };
      });
    },
  };
}

/** Names, versions and licences of the packages that the inputs come from. */
function licenses(inputs) {
  const folders = new Set(inputs.map((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]));
  const texts = [...folders]
    .filter((folder) => folder !== undefined)
    .sort()
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
      const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
      const text =
        file !== undefined && existsSync(join(root, folder, file))
          ? readFileSync(join(root, folder, file), 'utf8').trim()
          : '';
      return `${name} ${version}, ${license}\n\n${text}\n`;
    });
  return `The files beside this one contain these packages.\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}
