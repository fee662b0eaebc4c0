/**
 * Cuts what people type into words: blanks separate, quotes of both kinds hold together, `;` ends a command and `>`
 * stands for itself unless it is quoted. Every string can be read; a quote that is not closed reaches to the end.
 */

export interface Word {
  readonly text: string;
  readonly quoted: boolean;
  /** Where it begins in the command. */
  readonly at: number;
}

/** The commands of a line, each as it was typed. */
export function splitCommands(line: string): string[] {
  const commands: string[] = [];
  let quote = '';
  let from = 0;
  for (let i = 0; i < line.length; i++) {
    const char = line.charAt(i);
    if (quote !== '') {
      if (char === quote) quote = '';
    } else if (opensQuote(line, i)) {
      quote = char;
    } else if (char === ';') {
      commands.push(line.slice(from, i));
      from = i + 1;
    }
  }
  commands.push(line.slice(from));
  return commands.map((command) => command.trim()).filter((command) => command !== '');
}

export function splitWords(command: string): Word[] {
  const words: Word[] = [];
  let i = 0;
  while (i < command.length) {
    const char = command.charAt(i);
    if (/\s/.test(char)) {
      i++;
    } else if (opensQuote(command, i)) {
      const end = command.indexOf(char, i + 1);
      const stop = end < 0 ? command.length : end;
      words.push({ text: command.slice(i + 1, stop), quoted: true, at: i });
      i = stop + 1;
    } else if (char === '>') {
      words.push({ text: '>', quoted: false, at: i });
      i++;
    } else {
      const [text = ''] = /^[^\s>]+/.exec(command.slice(i)) ?? [];
      words.push({ text, quoted: false, at: i });
      i += text.length;
    }
  }
  return words;
}

/** Inside a word a quote is an apostrophe. */
function opensQuote(text: string, at: number): boolean {
  const char = text.charAt(at);
  return (char === '"' || char === "'") && (at === 0 || /[\s;>]/.test(text.charAt(at - 1)));
}
