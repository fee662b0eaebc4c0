/** Compiles rdmacm-stand-in.c as a library that takes the place of librdmacm. */
import { compileC } from './compile-c.js';

/** Returns why it cannot be compiled here, or `undefined`. */
export const compileRdmacmStandIn = (output: string): string | undefined =>
  compileC('testkit/rdmacm-stand-in.c', output, ['-shared', '-fPIC', '-pthread']);
