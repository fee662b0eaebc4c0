/** The fuzzer as a command, with the targets of this folder. */
import { runCommand } from '../../../tools/fuzz/command.js';

process.exitCode = await runCommand(process.argv.slice(2), new URL('./catalog.js', import.meta.url).href);
