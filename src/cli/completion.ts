/** `queuepair completion`: prints what a shell needs to complete commands, options and their values. */
import { Argument, type Command } from 'commander';
import { bashScript, zshScript } from './completion/bash-script.js';
import { describeCommands } from './completion/command-words.js';
import { fishScript } from './completion/fish-script.js';
import { ProgramCommand } from './program-command.js';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;
type Shell = keyof typeof SCRIPTS;

const EXAMPLES = `
Examples:
  $ queuepair completion bash > ~/.local/share/bash-completion/completions/queuepair
  $ source <(queuepair completion zsh)                          in ~/.zshrc
  $ queuepair completion fish > ~/.config/fish/completions/queuepair.fish`;

/** `program`: all of it, when it has been put together. */
export function completionCommand(program: () => Command): Command {
  return new ProgramCommand('completion')
    .description('print the completion of commands and options for a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', EXAMPLES)
    .action((shell: Shell) => {
      process.stdout.write(SCRIPTS[shell](describeCommands(program())));
    });
}
