/**
 * Calls into a victim's process: plain request and answer over the channel that Node gives a forked child. Victims are
 * classes whose methods take and return what can be cloned.
 */

/** Methods of a victim that its attacker can call. */
export type Calls<Victim> = {
  [Name in keyof Victim as Victim[Name] extends (...args: never[]) => unknown ? Name : never]: Victim[Name];
};

export interface CallMessage {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

export type AnswerMessage =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: string };

export interface VictimSetup {
  readonly kind: string;
  /** What the victim's constructor gets. */
  readonly options: object;
}
