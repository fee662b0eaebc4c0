/**
 * Where starting PSNs come from: all 24 bits from the operating system's CSPRNG. No bit is forced and no fallback
 * exists, because either would make the number easier to guess than 1 in 2^24.
 */
import { randomInt } from 'node:crypto';
import { PSN_MASK, type Psn, toPsn } from '../verbs/brands.js';

export const generatePsn = (): Psn => toPsn(randomInt(0, PSN_MASK + 1));
