/** Commands without a response are found in what tshark says, and others are not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findUnanswered } from '../../tools/lab/nvme-answers.js';

const [HOST, TARGET] = ['10.0.0.1', '10.0.0.2'];
let frame = 0;

/** A line of tshark. */
function line(
  source: string,
  target: string,
  fields: Partial<Record<'qpn' | 'psn' | 'opcode' | 'id' | 'fabricsId' | 'response', string>>,
  cm = ';;;;;',
): string {
  const { qpn = '', psn = '', opcode = '', id = '', fabricsId = '', response = '' } = fields;
  return [++frame, source, target, qpn, psn, opcode, id, fabricsId, response, cm].join(';');
}

const meeting = (id: string, host: string, target: string): string[] => [
  line(HOST, TARGET, { qpn: '0x000001' }, `0x0010;${id};${host};;;`),
  line(TARGET, HOST, { qpn: '0x000001' }, `0x0013;;;${target};${id};`),
];
const command = (qpn: string, psn: string, id: string, opcode = '0x02'): string =>
  line(HOST, TARGET, { qpn, psn, id, opcode });
const response = (qpn: string, psn: string, id: string): string =>
  line(TARGET, HOST, { qpn, psn, response: id });
const end = (qpn: string): string => line(HOST, TARGET, { qpn: '0x000001' }, `0x0015;;;;;${qpn}`);

const judge = (...lines: (string | string[])[]) =>
  findUnanswered(['Running as user "root"', ...lines.flat()].join('\n'));

test('every command that is answered is, however often its packets are sent', () => {
  const asked = command('0x12', '7', '0x0001');
  const { unanswered, ...rest } = judge(
    meeting('0xa', '0x11', '0x12'),
    line(HOST, TARGET, { qpn: '0x12', psn: '6', fabricsId: '0x0000' }),
    response('0x11', '3', '0x0000'),
    asked,
    asked,
    response('0x11', '4', '0x0001'),
    response('0x11', '4', '0x0001'),
    command('0x12', '8', '0x0001'),
    response('0x11', '5', '0x0001'),
  );
  assert.deepEqual(unanswered, []);
  assert.deepEqual(rest, { commands: 3, connections: 1, cut: 0, held: 0 });
});

test('one without a response is found, and a response to nothing is', () => {
  const { unanswered } = judge(
    meeting('0xa', '0x11', '0x12'),
    command('0x12', '7', '0x0001'),
    command('0x12', '8', '0x0002'),
    response('0x11', '4', '0x0002'),
    response('0x11', '5', '0x0003'),
  );
  assert.deepEqual(
    unanswered.map((one) => one.replace(/^\d+/, 'N')),
    ['N: answers nothing', 'N: command 1'],
  );
});

test('what is under way when a connection ends is cut, and the next one with its numbers is another', () => {
  const { unanswered, ...rest } = judge(
    meeting('0xa', '0x11', '0x12'),
    command('0x12', '7', '0x0001'),
    command('0x12', '8', '0x0002', '0x0c'),
    end('0x12'),
    meeting('0xb', '0x11', '0x12'),
    command('0x12', '7', '0x0001'),
    response('0x11', '4', '0x0001'),
    command('0x12', '8', '0x0004', '0x0c'),
  );
  assert.deepEqual(unanswered, []);
  assert.deepEqual(rest, { commands: 4, connections: 2, cut: 1, held: 1 });
});
