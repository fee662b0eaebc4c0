/** Faults of streams on the program's side of the data plane. */
import { faultsOf } from '../fault-list.js';

const ACCESS = 'connection/stream-access';
const BYTES = 'connection/byte-stream';
const CHANNEL = 'connection/stream-channel';
const OUTLET = 'connection/stream-outlet';
const QUEUE = 'connection/byte-queue';
const TABLE = 'connection/stream-table';

export const PROGRAM_STREAM_FAULTS = faultsOf(
  'connection',
  [
    'test/connection/byte-stream',
    'test/connection/byte-queue',
    'test/connection/stream-access',
    'test/connection/stream-channel',
    'test/connection/connection-streams',
    'test/connection/streams-recovery',
    'test/connection/plane-port',
  ],
  [
    {
      id: 'close-before-answers',
      wrong: 'A stream hears of the close of its connection before it hears that the peer has its end.',
      file: CHANNEL,
      find: '    queueMicrotask(() => {\n      if (this.#isGivenUp) return;\n      this.#fault = fault;\n      this.#schedule();\n    });\n',
      replace: '    this.#fault = fault;\n    this.#schedule();\n',
    },
    {
      id: 'duplex-end-counts-late',
      wrong: 'A stream that both sides have ended fails when its channel closes before Node has heard of it.',
      file: BYTES,
      find: '(this.writableFinished || this.#isEndDone) && this.#hasEnd',
      replace: 'this.writableFinished && this.#hasEnd',
    },
    {
      id: 'duplex-write-done-early',
      wrong: 'Several chunks are done when the first one is.',
      file: BYTES,
      find: 'if (life === this.#life && --this.#unanswered === 0) this.#answer(null);',
      replace: 'if (life === this.#life) this.#answer(null);',
    },
    {
      id: 'duplex-takes-unwanted',
      wrong: 'Bytes are taken from the channel although nobody reads.',
      file: BYTES,
      find: 'this.#wantsBytes = this.push(bytes);',
      replace: 'this.push(bytes);',
    },
    {
      id: 'duplex-channel-left-open',
      wrong: 'A stream that is destroyed does not close its channel.',
      file: BYTES,
      find: '      channel.listener = null;\n      channel.close(error);\n',
      replace: '',
    },
    {
      id: 'duplex-write-forgotten',
      wrong: 'A write that waits when its stream is destroyed is never answered.',
      file: BYTES,
      find: 'if (released === undefined) this.#answer(error);',
      replace: 'if (released === undefined) return;',
    },
    {
      id: 'duplex-fault-before-bytes',
      wrong: 'A channel that closed ends its stream before what is there was read.',
      file: BYTES,
      find: 'if (isRead || isNeverRead) this.destroy(fault);',
      replace: 'this.destroy(fault);',
    },
    {
      id: 'duplex-end-late',
      wrong: 'The end leaves a round trip behind the last bytes.',
      file: BYTES,
      find: '    if (this.writableEnded && this.writableLength === this.#pendingBytes) this.#giveEnd(channel);\n',
      replace: '',
    },
    {
      id: 'strange-bytes-read-together',
      wrong: 'Bytes of one block are read together although others lie between them.',
      file: QUEUE,
      find: '    if (last.bytes.byteOffset + last.length !== bytes.byteOffset) return false;\n',
      replace: '',
    },
    {
      id: 'shared-memory-transferable',
      wrong: 'A program can take away memory in which others will read.',
      file: QUEUE,
      find: '    markAsUntransferable(renewed.buffer);\n',
      replace: '',
    },
    {
      id: 'held-chunk-overtaken',
      wrong: 'A long chunk overtakes shorter ones that wait.',
      file: CHANNEL,
      find: 'if (this.#held.length > 0 || !this.#hasRoom(data))',
      replace: 'if (!this.#hasRoom(data))',
    },
    {
      id: 'chunk-done-but-used',
      wrong: 'A chunk is done although the data plane still needs it.',
      file: CHANNEL,
      find: 'const copy = this.#copyOf(data);',
      replace: 'const copy = Buffer.from(data.buffer, data.byteOffset, data.length);',
    },
    {
      id: 'reading-untold',
      wrong: 'The peer is never told that bytes were read.',
      file: CHANNEL,
      find: '    if (bytes !== undefined && !this.#isOver) plane.readStream(id, bytes.length);\n',
      replace: '',
    },
    {
      id: 'throwing-reader-deaf',
      wrong: 'What comes after a handler that threw is not told.',
      file: CHANNEL,
      find: '    this.#isScheduled = false;\n    try {',
      replace: '    try {',
    },
    {
      id: 'owed-bytes-lost',
      wrong: 'A connection that closes does not wait for what its program had written before.',
      file: ACCESS,
      find: '    if (this.#owing > 0) this.#plane.holdQuit(true);\n',
      replace: '',
    },
    {
      id: 'unwanted-stream-cancelled',
      wrong: 'A stream that nobody takes looks as if somebody had taken it.',
      file: ACCESS,
      find: '      channel.refuse();\n',
      replace: '',
    },
    {
      id: 'whole-direction-lost',
      wrong: 'A reset throws away a direction that had ended.',
      file: ACCESS,
      find: 'if (isWhole) channel?.onResetBehindEnd(error);',
      replace: 'if (isWhole) channel?.onReset(error);',
    },
    {
      id: 'reset-stream-kept',
      wrong: 'A stream that was reset while some of its bytes were unread counts as open for ever.',
      file: CHANNEL,
      find: '    else if (this.#keptBytes > 0) plane.readStream(id, this.#keptBytes);\n',
      replace: '',
    },
    {
      id: 'reset-stream-let-go',
      wrong: 'A peer can have this side keep the bytes of any number of streams.',
      file: CHANNEL,
      find: 'this.#keptBytes = this.#unread.length;',
      replace: 'this.#options.plane.readStream(this.#options.id, this.#unread.length);',
    },
    {
      id: 'early-stream-untold',
      wrong: 'A stream that was ended and reset before anybody listened is never told.',
      file: TABLE,
      find: 'if (code !== null) events.onReset(id, code, true);',
      replace: '',
    },
    {
      id: 'orderly-end-drops-bytes',
      wrong: 'What had arrived before an orderly end cannot be read.',
      file: ACCESS,
      find: 'if (isInOrder) channel.onClosed(error);',
      replace: 'if (isInOrder) channel.onReset(error);',
    },
    {
      id: 'end-of-stream-untold',
      wrong: 'The end of a stream does not reach its program.',
      file: OUTLET,
      find: 'listener?.onStreamBytes(id, bytes, hasEnded);',
      replace: 'listener?.onStreamBytes(id, bytes, false);',
    },
    {
      id: 'quit-overtakes-streams',
      wrong: 'The connection ends although more is to be written.',
      file: TABLE,
      find: '    return this.#isHeld;\n',
      replace: '    return false;\n',
    },
  ],
);
