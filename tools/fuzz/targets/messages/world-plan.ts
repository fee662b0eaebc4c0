/** What both ends of a connection that the fuzzer plays have agreed on. */
export interface WorldPlan {
  readonly slots: number;
  readonly slotBytes: number;
  readonly maxMessageBytes: number;
  readonly messageWindowBytes: number;
  readonly streams: number;
  readonly streamWindowBytes: number;
  readonly peerSlots: number;
  readonly peerSlotBytes: number;
  readonly peerMaxMessageBytes: number;
  readonly peerMessageWindowBytes: number;
  readonly peerStreams: number;
  readonly peerStreamWindowBytes: number;
  /** Fragments are sealed, by both sides. */
  readonly encrypted: boolean;
  /** Both sides do without the session. */
  readonly brief: boolean;
}
