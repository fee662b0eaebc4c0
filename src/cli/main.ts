#!/usr/bin/env node
/** The program `queuepair`. */
import { run } from './program.js';

await run(process.argv.slice(2));
