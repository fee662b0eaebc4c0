/** Puts a fault into the text of a source file, and makes JavaScript of it, unless it is one of the addon. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transform } from 'esbuild';
import type { Fault } from './fault.js';

/** The fault's text is not there, or there more than once: the source changed, and the fault has to follow. */
export class NoLongerFits extends Error {}

export const isOfAddon = (file: string): boolean => file.startsWith('native/');

const sourcePath = (file: string): string => (isOfAddon(file) ? file : `src/${file}.ts`);

/**
 * The file with the fault, as `BuildCopy.with` takes it: JavaScript, or C++. `root` is the folder with the sources.
 *
 * @throws NoLongerFits
 */
export async function codeWith(fault: Fault, root: string): Promise<string> {
  const planted = plant(fault, readFileSync(join(root, sourcePath(fault.file)), 'utf8'));
  return isOfAddon(fault.file) ? planted : await toJavaScript(planted);
}

/** @throws NoLongerFits */
export function plant({ id, file, find, replace }: Fault, source: string): string {
  const parts = source.split(find);
  if (parts.length !== 2) {
    const times = parts.length - 1;
    throw new NoLongerFits(`${id}: ${sourcePath(file)} has the text of the fault ${times} times: ${find}`);
  }
  if (find === replace) throw new NoLongerFits(`${id} changes nothing`);
  return parts.join(replace);
}

/** As the compiler would, without looking at types. */
export async function toJavaScript(source: string): Promise<string> {
  const { code } = await transform(source, {
    loader: 'ts',
    format: 'esm',
    target: 'es2022',
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true, useDefineForClassFields: true } },
  });
  return code;
}
