/** What people type to `queuepair connect`, and after flags: read as meant, or refused with how it is written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readBytes, targetArgument } from '../../src/cli/arguments.js';
import { splitCommands, splitWords } from '../../src/cli/client/command-line.js';
import { parseCommand } from '../../src/cli/client/commands.js';
import { formatBytes } from '../../src/cli/format.js';
import { RdmaError } from '../../src/verbs/errors.js';

test('commands are cut at semicolons that are not quoted', () => {
  assert.deepEqual(splitCommands('send hi; write abc ;; quit '), ['send hi', 'write abc', 'quit']);
  assert.deepEqual(splitCommands(`send "a; b"; send 'c; d'`), ['send "a; b"', `send 'c; d'`]);
  assert.deepEqual(splitCommands(`send don't; quit`), [`send don't`, 'quit'], 'an apostrophe is no quote');
  assert.deepEqual(splitCommands('send "open; quit'), ['send "open; quit'], 'a quote reaches to the end');
  assert.deepEqual(splitCommands(' ; ;'), []);
});

test('commands are read as they are meant', () => {
  for (const [line, command] of [
    ['send hello  world', { name: 'send', text: 'hello  world' }],
    ['send " a; b "', { name: 'send', text: ' a; b ' }],
    ['send it\'s "so"', { name: 'send', text: 'it\'s "so"' }],
    ['write abc', { name: 'write', source: { text: 'abc' }, offset: 0 }],
    ['write abc 4k', { name: 'write', source: { text: 'abc' }, offset: 4096 }],
    ['write "abc 4"', { name: 'write', source: { text: 'abc 4' }, offset: 0 }],
    ['write "a -1"', { name: 'write', source: { text: 'a -1' }, offset: 0 }],
    ['write -1', { name: 'write', source: { text: '-1' }, offset: 0 }],
    ['write 12', { name: 'write', source: { text: '12' }, offset: 0 }],
    ['write @photo.jpg 10', { name: 'write', source: { path: 'photo.jpg' }, offset: 10 }],
    ['write "@photo.jpg"', { name: 'write', source: { text: '@photo.jpg' }, offset: 0 }],
    ['read', { name: 'read', offset: 0, length: undefined, path: undefined }],
    ['read 1KiB 10 > out.bin', { name: 'read', offset: 1024, length: 10, path: 'out.bin' }],
    ['read >out.bin', { name: 'read', offset: 0, length: undefined, path: 'out.bin' }],
    ['read > "my file"', { name: 'read', offset: 0, length: undefined, path: 'my file' }],
    ['auto', { name: 'auto', count: 30 }],
    ['auto 5', { name: 'auto', count: 5 }],
    ['stats', { name: 'stats' }],
    ['exit', { name: 'quit' }],
  ] as const) {
    assert.deepEqual(parseCommand(line), command, line);
  }
});

test('what cannot be meant is refused with how it is written', () => {
  for (const [line, advice] of [
    ['', /there are send, write, read, auto, stats, help, quit/],
    ['sned hi', /there is no command 'sned'; did you mean send\?/],
    ['send', /^usage: send TEXT/],
    ['write', /write TEXT \[OFFSET\]/],
    ['write @', /write @FILE/],
    ['write a -1', /'-1' is no offset; a text that ends with it goes in quotes/],
    ['write @file -4k', /'-4k' is no offset/],
    ['read a', /'a' is no number of bytes/],
    ['read 1 2 3', /read \[OFFSET\] \[LENGTH\]/],
    ['read 1 >', /> FILE/],
    ['auto 0', /from 1 to/],
    ['auto 1.5', /from 1 to/],
    ['quit now', /nothing after it/],
  ] as const) {
    assert.throws(() => parseCommand(line), { code: 'ERR_RDMA_INVALID_ARGUMENT', message: advice }, line);
  }
});

test('any text is read or refused, never more', () => {
  const typed = fc.oneof(
    fc.string(),
    fc.stringMatching(/^(send|write|read|auto|stats|quit) [\w "';>@.]{0,20}$/),
  );
  fc.assert(
    fc.property(typed, (line) => {
      for (const command of splitCommands(line)) {
        for (const { text, quoted } of splitWords(command)) assert(quoted || !/\s/.test(text));
        try {
          parseCommand(command);
        } catch (error) {
          assert(error instanceof RdmaError, String(error));
        }
      }
    }),
  );
});

test('a quoted text arrives as it is', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (text) => {
      fc.pre(!/["\n]/.test(text));
      const [command = '', ...others] = splitCommands(`send "${text}"; quit`);
      assert.deepEqual(others, ['quit']);
      assert.deepEqual(parseCommand(command), { name: 'send', text });
    }),
  );
});

test('numbers of bytes have units', () => {
  for (const [text, bytes] of [
    ['0', 0],
    ['65536', 65_536],
    ['64KiB', 65_536],
    ['64k', 65_536],
    ['64 KB', 64_000],
    ['1.5MiB', 1_572_864],
    ['2g', 2 ** 31],
    ['0.3', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    ['', undefined],
    ['9999999999g', undefined],
  ] as const) {
    assert.equal(readBytes(text), bytes, text);
  }
  assert.deepEqual([0, 1023, 1024, 1536, 2 ** 20, 150 * 1024].map(formatBytes), [
    '0 B',
    '1023 B',
    '1 KiB',
    '1.5 KiB',
    '1 MiB',
    '150 KiB',
  ]);
});

test('targets are hosts, with a port or without', () => {
  for (const [text, host, port] of [
    ['127.0.0.1', '127.0.0.1', 4433],
    ['storage-7:99', 'storage-7', 99],
    ['::1', '::1', 4433],
    ['[::1]:99', '::1', 99],
    ['[2001:db8::7]', '2001:db8::7', 4433],
  ] as const) {
    assert.deepEqual(targetArgument(text, 4433), { host, port });
  }
  for (const text of ['', ':99', 'host:', '[::1', 'a:b', 'a:1:2']) {
    assert.throws(() => targetArgument(text, 4433), /write HOST or HOST:PORT/, text);
  }
  for (const text of ['host:0', 'host:65536', 'host:123456', '[::1]:0']) {
    assert.throws(() => targetArgument(text, 4433), /the port of a server is 1 to 65535/, text);
  }
});
