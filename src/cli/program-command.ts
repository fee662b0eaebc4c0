/**
 * A command of the program. What people got wrong in typing it is one sentence that says what to type instead, and where to read on.
 *
 * Commander calls these methods where something is wrong; its types do not show them. test/cli/usage-mistakes.test.ts makes each mistake with
 * every command, so that none of commander's own sentences comes back.
 */
import { Argument, Command, InvalidArgumentError, type Option } from 'commander';
import { cleanText } from '../session/clean-text.js';
import { nearestName } from '../verbs/nearest-name.js';
import { WrongArguments } from './wrong-arguments.js';

const MAX_QUOTED_CHARS = 80;

const quoted = (text: string): string => `'${cleanText(text, MAX_QUOTED_CHARS)}'`;
const flagOf = ({ long, short, flags }: Option): string => long ?? short ?? flags;
const meant = (name: string | undefined): string => (name === undefined ? '' : `; did you mean ${name}?`);

export class ProgramCommand extends Command {
  /** As it is typed: `queuepair nvme serve`. */
  get topic(): string {
    const above = this.parent;
    return above instanceof ProgramCommand ? `${above.topic} ${this.name()}` : this.name();
  }

  override createCommand(name?: string): ProgramCommand {
    return new ProgramCommand(name);
  }

  unknownCommand(): never {
    return this.#noCommand(this.args[0] ?? '');
  }

  /** `help NAME`, and what `NAME` alone would do. */
  _dispatchHelpCommand(name: string | undefined): unknown {
    const command = this.commands.find((one) => one.name() === name);
    if (name !== undefined && command === undefined) return this.#noCommand(name);
    return (command ?? this).help();
  }

  /** A command that is nothing without one of those below it. */
  override help(context?: { error: boolean } | ((text: string) => string)): never {
    if (typeof context === 'object' && context.error && this.parent !== null)
      this.#refuse(`say what ${this.name()} shall do: ${this.#namesBelow().join(', ')}`);
    return super.help(context as { error: boolean });
  }

  unknownOption(flag: string): never {
    const options = this.createHelp().visibleOptions(this);
    const names = options.flatMap(({ long, short }) => [long, short].filter((name) => name !== undefined));
    const below = this.commands.find((one) =>
      one.options.some(({ long, short }) => long === flag || short === flag),
    );
    const hint =
      below === undefined
        ? meant(flag.startsWith('--') ? nearestName(flag, names) : undefined)
        : `; write it behind the command it is for, as in ${this.topic} ${below.name()} ${flag}`;
    return this.#refuse(`${this.name()} has no option ${quoted(flag)}${hint}`);
  }

  missingArgument(name: string): never {
    const argument = this.registeredArguments.find((one) => one.name() === name);
    const choices = argument?.argChoices === undefined ? '' : `, one of ${argument.argChoices.join(', ')}`;
    return this.#refuse(`${this.name()} needs <${name}>: ${argument?.description ?? ''}${choices}`);
  }

  _excessArguments(received: readonly string[]): never {
    const names = this.registeredArguments.map((argument) => `<${argument.name()}>`);
    const takes = names.length === 0 ? 'no arguments' : `${names.join(' ')} and nothing more`;
    return this.#refuse(
      `${this.name()} takes ${takes}: ${quoted(received[names.length] ?? '')} is one too many`,
    );
  }

  optionMissingArgument(option: Option): never {
    return this.#refuse(`${flagOf(option)} needs a value: ${option.flags}, ${option.description}`);
  }

  missingMandatoryOptionValue(option: Option): never {
    return this.#refuse(`${this.name()} needs ${option.flags}: ${option.description}`);
  }

  /** What reads a value says what it must be. */
  _callParseArg(target: Option | Argument, value: string, previous: unknown): unknown {
    try {
      return target.parseArg?.(value, previous);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      const name = target instanceof Argument ? `<${target.name()}>` : flagOf(target);
      const choices = target.argChoices;
      const advice =
        choices === undefined
          ? error.message
          : `it is one of ${choices.join(', ')}${meant(nearestName(value, choices))}`;
      return this.#refuse(`${name} cannot be ${quoted(value)}: ${advice}`);
    }
  }

  #noCommand(name: string): never {
    const names = this.#namesBelow();
    const hint = nearestName(name, names);
    const others = hint === undefined && this.parent !== null ? `; there are ${names.join(', ')}` : '';
    const shown = this.parent === null ? '' : `${this.name()} `;
    return this.#refuse(`there is no command ${quoted(`${shown}${name}`)}${meant(hint)}${others}`);
  }

  #namesBelow(): string[] {
    return this.commands.map((command) => command.name());
  }

  #refuse(sentence: string): never {
    throw new WrongArguments(sentence, this.topic);
  }
}
