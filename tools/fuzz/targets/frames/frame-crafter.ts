/**
 * Makes control frames out of choices: right ones in the order of a session by default; by choice with one field
 * wrong, with a wrong shape, as damaged text, or with a prefix that lies.
 */
import {
  FRAME_PREFIX_BYTES,
  type FrameType,
  MAX_FRAME_BODY_BYTES,
  parseFrameBody,
} from '../../../../src/session/frames.js';
import type { SessionParameters } from '../../../../src/session/session-data.js';
import type { Choices } from '../../choices.js';
import { type FieldValues, FRAME_FIELDS } from './field-values.js';

export interface CraftedFrame {
  /** Prefix and body. */
  readonly bytes: Uint8Array;
  /** Whether the body must be accepted; `undefined` where only the code under test can tell. */
  readonly valid: boolean | undefined;
}

export const FRAME_TYPES = Object.keys(FRAME_FIELDS) as FrameType[];
const IN_ORDER: readonly FrameType[] = ['psn', 'parameters', 'ready', 'ping', 'pong'];
const WRONG_TYPES: readonly unknown[] = [
  '',
  'PSN',
  'constructor',
  '__proto__',
  'toString',
  7,
  null,
  ['psn'],
  {},
];
const WRONG_VERSIONS: readonly unknown[] = [0, 2, '1', null, 1.5, -1, [1], true];

/** What ties parameters to a session and a PSN. */
export type Binder = (psn: number, parameters: SessionParameters) => string;

export class FrameCrafter {
  #number = 0;
  #psn = 0;
  #bind: Binder = () => '';

  /** A new session begins. */
  reset(bind: Binder): void {
    this.#number = 0;
    this.#bind = bind;
  }

  /** The next frame of an orderly peer. */
  next(choices: Choices): CraftedFrame {
    const type = IN_ORDER[Math.min(this.#number++, IN_ORDER.length - 1)] as FrameType;
    const fields = rightFields(type, choices);
    if (type === 'psn') this.#psn = fields['psn'] as number;
    if (type === 'parameters') fields['binding'] = this.#bind(this.#psn, fromJson({ v: 1, type, ...fields }));
    return fromObject({ v: 1, type, ...fields }, true);
  }

  /** A right frame of any type. */
  right(choices: Choices): CraftedFrame {
    const type = choices.pick(FRAME_TYPES);
    return fromObject({ v: 1, type, ...rightFields(type, choices) }, true);
  }

  /** One field is wrong, missing, or too many. */
  wrong(choices: Choices): CraftedFrame {
    const type = choices.pick(FRAME_TYPES);
    const fields: Record<string, unknown> = { v: 1, type, ...rightFields(type, choices) };
    const names = Object.keys(FRAME_FIELDS[type]);
    const how = choices.below(8);
    const name = names[choices.below(names.length)];
    if (how === 5) fields['v'] = choices.pick(WRONG_VERSIONS);
    else if (how === 6) fields['type'] = choices.pick(WRONG_TYPES);
    else if (how === 7 || name === undefined)
      fields[choices.pick(['more', 'psn ', '', 'hasOwnProperty'])] = 1;
    else {
      const values = FRAME_FIELDS[type][name] as FieldValues;
      if (how === 4 && values.optional !== true) delete fields[name];
      else fields[name] = choices.pick(values.wrong);
    }
    return fromObject(fields, false);
  }

  /** JSON that is no frame, and text that is no JSON. */
  text(choices: Choices): CraftedFrame {
    const filler = choices.below(MAX_FRAME_BODY_BYTES);
    switch (choices.below(15)) {
      case 0:
        return fromText('[]', false);
      case 1:
        return fromText(choices.pick(['', ' ', 'null', '0', '"psn"', 'true', '[{}]']), false);
      case 2:
        return fromText('['.repeat(filler), false);
      case 3:
        return fromText(
          `{"v":1,"type":"bye","reason":${'{"a":'.repeat(filler >> 3)}1${'}'.repeat(filler >> 3)}}`,
          false,
        );
      case 4:
        return fromText('{"v":1,"type":"psn","psn":1e999}', false);
      case 5:
        // Readers differ in which of two equal keys counts.
        return fromText('{"v":1,"type":"psn","psn":-1,"psn":5}', false);
      case 6:
        return fromText('{"v":1,"type":"ping","__proto__":{"x":1}}', false);
      case 7:
        return fromText('{"v":1,"type":"ping"} {"v":1}', false);
      case 8:
        return fromText('\ufeff{"v":1,"type":"ping"}', false);
      case 9:
        return framed(Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), false);
      case 10:
        return padded(MAX_FRAME_BODY_BYTES);
      case 13:
        return padded(MAX_FRAME_BODY_BYTES + 1);
      case 11:
        return fromText(`{"v":1,"type":"error","code":"${'é'.repeat(filler % 64)}","message":""}`, true);
      case 12:
        return fromText(`{"v":1,"type":"psn","psn":0${'0'.repeat(filler % 64)}}`, filler % 64 === 0);
      default:
        return fromText(`{"v":1,"type":"psn","psn":5.${'0'.repeat(filler % 64)}}`, filler % 64 !== 0);
    }
  }

  /** A right frame whose bytes were damaged. */
  damaged(choices: Choices): CraftedFrame {
    const { bytes } = this.right(choices);
    for (let i = 1 + choices.below(4); i > 0; i--) {
      const at = FRAME_PREFIX_BYTES + (choices.u16() % (bytes.length - FRAME_PREFIX_BYTES));
      bytes[at] = choices.u8();
    }
    return { bytes, valid: undefined };
  }

  /** A prefix that announces something else than what follows. */
  misframed(choices: Choices): CraftedFrame {
    const { bytes } = choices.oneIn(2) ? this.right(choices) : this.next(choices);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const length = bytes.length - FRAME_PREFIX_BYTES;
    const lengths = [
      length - 1,
      length + 1,
      0,
      MAX_FRAME_BODY_BYTES,
      MAX_FRAME_BODY_BYTES + 1,
      0x80000000,
      0xffffffff,
    ];
    view.setUint32(0, choices.oneIn(4) ? choices.u32() : choices.pick(lengths) >>> 0);
    return { bytes, valid: undefined };
  }

  /** Bytes as they are in the input. */
  raw(choices: Choices): CraftedFrame {
    const bytes = new Uint8Array(choices.below(28));
    for (let i = 0; i < bytes.length; i++) bytes[i] = choices.u8();
    return { bytes, valid: undefined };
  }
}

/** Parameters as a session knows them. */
function fromJson(fields: unknown): SessionParameters {
  const decoded = parseFrameBody(Buffer.from(JSON.stringify(fields)));
  if (decoded.ok && decoded.frame.type === 'parameters') return decoded.frame;
  throw new Error('these parameters must be right');
}

function rightFields(type: FrameType, choices: Choices): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, { right, optional }] of Object.entries(FRAME_FIELDS[type])) {
    if (optional === true && !choices.oneIn(3)) continue;
    fields[name] = choices.pick(right);
  }
  return fields;
}

/** A right frame with a body of this length, but for being too long. */
const padded = (bodyBytes: number): CraftedFrame => fromText('{"v":1,"type":"ping"}'.padEnd(bodyBytes), true);

const fromObject = (value: unknown, valid: boolean): CraftedFrame => fromText(JSON.stringify(value), valid);
const fromText = (text: string, valid: boolean): CraftedFrame => framed(Buffer.from(text, 'utf8'), valid);

function framed(body: Buffer, valid: boolean): CraftedFrame {
  const bytes = new Uint8Array(FRAME_PREFIX_BYTES + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, FRAME_PREFIX_BYTES);
  return { bytes, valid: valid && body.length <= MAX_FRAME_BODY_BYTES };
}
