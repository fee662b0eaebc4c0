/** Compiles no-op-verbs.c: as a library that takes the place of libibverbs, or as the program that measures from C. */
import { compileC } from '../../testkit/compile-c.js';

/** Returns why it cannot be compiled here, or `undefined`. */
export const compileNoOp = (output: string, kind: 'library' | 'program'): string | undefined =>
  compileC(
    'tools/verbs-cost/no-op-verbs.c',
    output,
    kind === 'library' ? ['-shared', '-fPIC'] : ['-DWITH_MAIN'],
  );
