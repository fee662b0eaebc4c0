/** What of a request's flags libibverbs gets: those that it has. One that it does not know may mean anything to a provider. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestBuffer } from '../../src/ibverbs/request-buffer.js';
import { writeSend } from '../../src/ibverbs/request-writer.js';
import type { VerbsContext } from '../../src/ibverbs/verbs-context.js';
import type { VerbsAddon } from '../../src/native/verbs-addon.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';

/** ibv_send_flags of verbs.h. */
const IBV = { fence: 1, signaled: 2, solicited: 4, inline: 8 };
/** Words of the shared memory (native/ibverbs/data.cc): where requests begin, and where their flags lie. */
const REQUESTS_AT = 16;
const REQUEST_WORDS = 24;
const FLAGS = 3;

const nothing = (): void => {};

test('a flag that libibverbs does not have never reaches it, beside those that it has', () => {
  let memory: Int32Array = new Int32Array();
  const addon = {
    useBuffer: (bytes: Uint8Array) => {
      memory = new Int32Array(bytes.buffer);
      return 4096;
    },
    ...{ postSend: nothing, postRecv: nothing, postSrqRecv: nothing, pollCq: nothing, reqNotify: nothing },
  } as unknown as VerbsAddon;
  const buffer = new RequestBuffer(addon);
  const { FENCE, SIGNALED, SOLICITED, UNHURRIED } = SendFlags;
  const cases = [
    { flags: 0, wanted: 0 },
    { flags: UNHURRIED, wanted: 0 },
    { flags: SIGNALED | UNHURRIED, wanted: IBV.signaled },
    { flags: FENCE | SIGNALED | SOLICITED | UNHURRIED, wanted: IBV.fence | IBV.signaled | IBV.solicited },
  ];
  const common = { wrId: 1, opcode: WrOpcode.SEND };
  for (const { flags } of cases) writeSend(buffer, {} as VerbsContext, { ...common, flags });
  writeSend(buffer, {} as VerbsContext, { ...common, flags: UNHURRIED, inlineData: new Uint8Array(3) });
  const given = Array.from(
    { length: buffer.count },
    (_, i) => memory[REQUESTS_AT + i * REQUEST_WORDS + FLAGS],
  );
  assert.deepEqual(given, [...cases.map(({ wanted }) => wanted), IBV.inline]);
});
