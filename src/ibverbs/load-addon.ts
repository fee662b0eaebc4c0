/** Finds the addon. */
import { createRequire } from 'node:module';
import type { VerbsAddon } from './verbs-addon.js';

const require = createRequire(import.meta.url);

/** The addon's part for verbs, or why there is none. */
export function loadAddon(): VerbsAddon | string {
  try {
    const path = process.env['QUEUEPAIR_ADDON'] ?? '../../native/queuepair.node';
    return (require(path) as { verbs: VerbsAddon }).verbs;
  } catch (error) {
    return `the native addon cannot be loaded (${(error as Error).message})`;
  }
}
