/** `npm run fuzz`: the fuzzer with the targets of this project. */
import { runCommand } from './command.js';

await runCommand(new URL('./targets.js', import.meta.url).href);
