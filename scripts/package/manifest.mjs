/**
 * The package.json of what users install.
 *
 * Invariant: npm does not publish it (it is private) as long as this clone's package.json does not say where the project is: whoever
 * publishes it knows that, and nobody else does.
 */

/** They are what the page of a registry leads to. */
export const OF_THE_PUBLISHER = ['repository', 'homepage', 'bugs'];
const FIELDS = [
  'name',
  'version',
  'description',
  'keywords',
  'license',
  'type',
  'engines',
  ...OF_THE_PUBLISHER,
  'peerDependencies',
  'peerDependenciesMeta',
];

/** Those that the publisher has not set. */
export const missingForPublishing = (own) => OF_THE_PUBLISHER.filter((field) => own[field] === undefined);

/** `own`: the package.json of this clone. No dependencies: they are in the bundles. What only some programs need is their own choice. */
export function manifest(own, entries) {
  return {
    ...Object.fromEntries(FIELDS.filter((field) => field in own).map((field) => [field, own[field]])),
    ...(missingForPublishing(own).length > 0 ? { private: true } : {}),
    bin: { queuepair: './dist/cli/main.js' },
    exports: {
      ...Object.fromEntries(
        entries.map(({ name, source }) => [
          name,
          { types: `./dist/types/${source}.d.ts`, default: `./dist/${source}.js` },
        ]),
      ),
      './package.json': './package.json',
    },
    sideEffects: false,
    scripts: { install: 'node scripts/install.mjs' },
  };
}
