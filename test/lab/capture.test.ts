import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseVerdict } from '../../tools/lab/capture.js';

test('packets, MADs of the connection manager and malformed packets are counted, and the latter are named', () => {
  const text = [
    '1;;0x000011;;RC Send Only QP=0x000011 ',
    '2;;0x000001;0x07;CM: ConnectRequest',
    '3;;0x000001;7;CM: ConnectReply',
    '4;;0x000001;0x03;another class',
    '5;1;0x000001;0x07;CM: ReadyToUse; cut',
    '6;;0x000001;;UD Send Only QP=0x000001 ',
    'Running as user "root" and group "root". This could be dangerous.',
    '',
  ].join('\n');
  assert.deepEqual(parseVerdict(text), {
    packets: 6,
    mads: 3,
    malformed: ['5: CM: ReadyToUse; cut', '6: UD Send Only QP=0x000001 '],
  });
});
