#!/usr/bin/env node
/** The program `queuepair`. */
import { run } from './program.js';
import { tierUpEarly } from './tier-up.js';

tierUpEarly();
await run(process.argv.slice(2));
