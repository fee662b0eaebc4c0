import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseVerdict } from '../../tools/lab/capture.js';

test('packets, MADs of the connection manager and malformed packets are counted, and the latter are named', () => {
  const text = [
    '1;;;RC Send Only QP=0x000011 ',
    '2;;0x07;CM: ConnectRequest',
    '3;;7;CM: ConnectReply',
    '4;;0x03;another class',
    '5;1;0x07;CM: ReadyToUse; cut',
    'Running as user "root" and group "root". This could be dangerous.',
    '',
  ].join('\n');
  assert.deepEqual(parseVerdict(text), { packets: 5, mads: 3, malformed: ['5: CM: ReadyToUse; cut'] });
});
