/** `npm run fuzz`: the fuzzer with the targets of this project. */
import { runCommand } from './command.js';

process.exitCode = await runCommand(process.argv.slice(2), new URL('./targets.js', import.meta.url).href);
