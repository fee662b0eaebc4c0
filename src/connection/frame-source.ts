/** Frames of a control channel for two readers in turn: one may look at the next frame and leave it to the other. */
import type { ControlChannel } from '../session/control-channel.js';
import type { Frame } from '../session/frames.js';

export class FrameSource {
  readonly #channel: ControlChannel;
  #next: Promise<Frame> | null = null;

  constructor(channel: ControlChannel) {
    this.#channel = channel;
  }

  /** The next frame, which stays the next one. */
  peek(): Promise<Frame> {
    this.#next ??= this.#channel.receive();
    return this.#next;
  }

  /** The next frame, taken. */
  take(): Promise<Frame> {
    const next = this.peek();
    this.#next = null;
    return next;
  }
}
