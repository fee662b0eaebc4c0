/**
 * What a stream of control bytes means, read once more in the plainest way: all at once, in order, without sockets.
 */
import {
  type DecodedFrame,
  type Frame,
  type FrameOf,
  MAX_FRAME_BODY_BYTES,
  parseFrameBody,
} from '../../../../src/session/frames.js';
import type { Binder } from './frame-crafter.js';

export interface StreamModel {
  /** Up to the first fault. */
  readonly frames: readonly Frame[];
  /** The stream holds something that is no frame. */
  readonly faulty: boolean;
  /** Bytes of a frame that has not ended. */
  readonly restBytes: number;
}

export function readStream(bytes: Uint8Array): StreamModel {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= 4) {
    const length = view.getUint32(at);
    if (length > MAX_FRAME_BODY_BYTES) return { frames, faulty: true, restBytes: 0 };
    if (bytes.length - at - 4 < length) break;
    const decoded: DecodedFrame = parseFrameBody(bytes.subarray(at + 4, at + 4 + length));
    if (!decoded.ok) return { frames, faulty: true, restBytes: 0 };
    frames.push(decoded.frame);
    at += 4 + length;
  }
  return { frames, faulty: false, restBytes: bytes.length - at };
}

export interface HandshakeModel {
  readonly psn: FrameOf<'psn'> | undefined;
  readonly parameters: FrameOf<'parameters'> | undefined;
  /** PSN, parameters and ready came, in this order and nothing but questions for signs of life between them. */
  readonly established: boolean;
  /** Frames up to and with the `ready`. */
  readonly length: number;
}

/** How far a handshake may get with these frames. `bind` says what ties parameters to the session. */
export function readHandshake(frames: readonly Frame[], bind: Binder): HandshakeModel {
  let psn: FrameOf<'psn'> | undefined;
  let parameters: FrameOf<'parameters'> | undefined;
  for (const [index, frame] of frames.entries()) {
    if (frame.type === 'ping' || frame.type === 'pong') continue;
    if (frame.type === 'psn' && psn === undefined) psn = frame;
    else if (frame.type === 'parameters' && psn !== undefined && parameters === undefined) {
      const { type: _, ...told } = frame;
      if (told.binding !== bind(psn.psn, told)) break;
      parameters = frame;
    } else if (frame.type === 'ready' && parameters !== undefined)
      return { psn, parameters, established: true, length: index + 1 };
    else break;
  }
  return { psn, parameters, established: false, length: frames.length };
}
