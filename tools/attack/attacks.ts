/** All attacks, in their order. */
import type { Attack } from './attack.js';
import { BLIND_SWEEP, ODD_PSN_SWEEP } from './attacks/blind-sweep.js';
import { FLOOD } from './attacks/flood.js';
import { FOREIGN_KEYS, GUESS_KEYS } from './attacks/foreign-keys.js';
import { FORGED_ACK } from './attacks/forged-ack.js';
import { FORGED_CNP } from './attacks/forged-cnp.js';
import { FUZZ } from './attacks/fuzz.js';
import { GUESSED_IDS } from './attacks/guessed-ids.js';
import { HANDSHAKE_FLOOD } from './attacks/handshake-flood.js';
import { IMPOSTORS } from './attacks/impostors.js';
import { ONE_PACKET } from './attacks/one-packet.js';
import { OVERHEARD_IDS } from './attacks/overheard-ids.js';
import { PREDICT_PSN } from './attacks/predict-psn.js';
import { RANDOM_QPN } from './attacks/random-qpn.js';
import { REPLAY } from './attacks/replay.js';
import { REQUEST_FLOOD } from './attacks/request-flood.js';
import { TAMPERING } from './attacks/tampering.js';
import { WRONG_SOURCE } from './attacks/wrong-source.js';

export const ATTACKS: readonly Attack[] = [
  BLIND_SWEEP,
  ODD_PSN_SWEEP,
  RANDOM_QPN,
  FORGED_ACK,
  PREDICT_PSN,
  ONE_PACKET,
  WRONG_SOURCE,
  FLOOD,
  GUESS_KEYS,
  FOREIGN_KEYS,
  HANDSHAKE_FLOOD,
  REPLAY,
  FORGED_CNP,
  IMPOSTORS,
  TAMPERING,
  FUZZ,
  GUESSED_IDS,
  OVERHEARD_IDS,
  REQUEST_FLOOD,
];
