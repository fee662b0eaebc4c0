/** The commands of `queuepair connect`. */
import { cleanText } from '../../session/clean-text.js';
import { RdmaError, usageError } from '../../verbs/errors.js';
import { nearestName } from '../../verbs/nearest-name.js';
import { readBytes } from '../arguments.js';
import { WrongArguments } from '../wrong-arguments.js';
import { splitCommands, splitWords, type Word } from './command-line.js';

export type ClientCommand =
  | { readonly name: 'send'; readonly text: string }
  | { readonly name: 'write'; readonly source: { text: string } | { path: string }; readonly offset: number }
  | {
      readonly name: 'read';
      readonly offset: number;
      /** Default: as much as was written last. */
      readonly length: number | undefined;
      readonly path: string | undefined;
    }
  | { readonly name: 'auto'; readonly count: number }
  | { readonly name: 'stats' | 'help' | 'quit' };

export const CLIENT_HELP = `send TEXT                         a message; the server echoes it
write TEXT | @FILE [OFFSET]       RDMA write into the server's buffer; the server hashes what it finds there
read [OFFSET] [LENGTH] [> FILE]   RDMA read of the server's buffer; without LENGTH as much as was written last
auto [N]                          N sends, writes and reads in turn, each verified (default 30)
stats                             what went over the connection
help                              this
quit                              end the connection in order
Several commands go on one line with ; between them. Text with a ; or with blanks at its ends goes in quotes.`;

/** Somebody meant an offset. */
const WRONG_OFFSET = /^[-+]\d+\w*$/;
const DEFAULT_AUTO = 30;
const MAX_AUTO = 1_000_000;
const MAX_NAME_CHARS = 80;
const VERBS = ['send', 'write', 'read', 'auto', 'stats', 'help', 'quit'] as const;

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT that says how the command is written. */
export function parseCommand(line: string): ClientCommand {
  const [verb, ...words] = splitWords(line);
  switch (verb?.text) {
    case 'send':
      return { name: 'send', text: textOf(line, words, 'send TEXT') };
    case 'write':
      return parseWrite(line, words);
    case 'read':
      return parseRead(words);
    case 'auto':
      return { name: 'auto', count: parseCount(words) };
    case 'stats':
    case 'help':
    case 'quit':
      if (words.length > 0) throw usageError(`${verb.text} takes nothing after it`);
      return { name: verb.text };
    case 'exit':
    case 'bye':
      return { name: 'quit' };
    default:
      throw usageError(unknownCommand(verb?.text ?? ''));
  }
}

function unknownCommand(name: string): string {
  const meant = nearestName(name, VERBS);
  const hint = meant === undefined ? `there are ${VERBS.join(', ')}` : `did you mean ${meant}?`;
  return `there is no command '${cleanText(name, MAX_NAME_CHARS)}'; ${hint}`;
}

/** Before anything is done, and before there is a connection. @throws WrongArguments for a line of commands that cannot be read. */
export function checkCommands(line: string): void {
  for (const command of splitCommands(line)) {
    try {
      parseCommand(command);
    } catch (error) {
      throw error instanceof RdmaError ? new WrongArguments(`--exec: ${error.message}`) : error;
    }
  }
}

/** One quoted word, or the rest of the line as it was typed. */
function textOf(line: string, words: readonly Word[], usage: string): string {
  const [first, second] = words;
  if (first === undefined) throw usageError(`usage: ${usage}`);
  return first.quoted && second === undefined ? first.text : line.slice(first.at);
}

function parseWrite(line: string, words: readonly Word[]): ClientCommand {
  const usage = 'write TEXT [OFFSET] or write @FILE [OFFSET]';
  const last = words.at(-1);
  const offset = words.length > 1 && last?.quoted === false ? readBytes(last.text) : undefined;
  if (words.length > 1 && last?.quoted === false && offset === undefined && WRONG_OFFSET.test(last.text)) {
    throw usageError(`'${last.text}' is no offset; a text that ends with it goes in quotes; usage: ${usage}`);
  }
  const content = offset === undefined ? words : words.slice(0, -1);
  const typed = offset === undefined || last === undefined ? line : line.slice(0, last.at).trimEnd();
  const text = textOf(typed, content, usage);
  const [first] = content;
  const isFile = first?.quoted === false && text.startsWith('@');
  if (isFile && text.length === 1) throw usageError(`usage: ${usage}`);
  const source = isFile ? { path: text.slice(1) } : { text };
  return { name: 'write', source, offset: offset ?? 0 };
}

function parseRead(words: readonly Word[]): ClientCommand {
  const usage = 'read [OFFSET] [LENGTH] [> FILE]';
  const arrow = words.findIndex(({ text, quoted }) => text === '>' && !quoted);
  const numbers = arrow < 0 ? words : words.slice(0, arrow);
  const target = arrow < 0 ? [] : words.slice(arrow + 1);
  if (numbers.length > 2 || (arrow >= 0 && target.length !== 1)) throw usageError(`usage: ${usage}`);
  const [offset, length] = numbers.map(({ text }) => {
    const value = readBytes(text);
    if (value === undefined) throw usageError(`'${text}' is no number of bytes; usage: ${usage}`);
    return value;
  });
  return { name: 'read', offset: offset ?? 0, length, path: target[0]?.text };
}

function parseCount(words: readonly Word[]): number {
  const [word, extra] = words;
  if (word === undefined) return DEFAULT_AUTO;
  const count = Number(word.text);
  if (extra === undefined && Number.isInteger(count) && count >= 1 && count <= MAX_AUTO) return count;
  throw usageError(`usage: auto N, with N from 1 to ${MAX_AUTO}`);
}
