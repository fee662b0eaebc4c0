/** The fuzzer as a command, with the targets of this folder. */
import { runCommand } from '../../../tools/fuzz/command.js';

await runCommand(new URL('./catalog.js', import.meta.url).href);
