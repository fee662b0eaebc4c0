/** Faults of the services without acknowledgements: UC and UD. */
import { faultsOf } from '../fault-list.js';

export const OTHER_SERVICE_FAULTS = faultsOf(
  'engine',
  ['test/roce/rules', 'sim:1..40', 'test/roce'],
  [
    {
      id: 'ud-qkey-unchecked',
      wrong: 'UD takes datagrams with any Q_Key.',
      file: 'roce/qp/ud-responder',
      find: 'if (dethQkey(packet.bytes, packet.at + DETH_AT) !== qp.qkey) return DropReason.BAD_QKEY;',
      replace: '',
    },
    {
      id: 'ud-no-room-for-grh',
      wrong: 'UD forgets the header in front of what arrives.',
      file: 'roce/qp/ud-responder',
      find: 'if (GRH_LENGTH + packet.payloadLength > receive.capacity) {',
      replace: 'if (packet.payloadLength > receive.capacity) {',
    },
    {
      id: 'ud-memory-unchecked',
      wrong: 'UD writes into memory that was deregistered.',
      file: 'roce/qp/ud-responder',
      find: 'if (!receive.sges.allows(0, qp.pd, AccessFlags.LOCAL_WRITE)) {',
      replace: 'if (false) {',
    },
    {
      id: 'ud-receive-lost',
      wrong: 'UD takes a new receive for each datagram that is too large.',
      file: 'roce/qp/ud-responder',
      find: 'if (!receive.active && !qp.takeReceive(receive))',
      replace: 'if (!qp.takeReceive(receive))',
    },
    {
      id: 'uc-gap-ignored',
      wrong: 'UC takes what follows a lost packet.',
      file: 'roce/qp/uc-responder',
      find: '} else if (this.#dropping || !inSequence) {',
      replace: '} else if (this.#dropping) {',
    },
    {
      id: 'uc-rest-taken',
      wrong: 'UC takes the rest of a message that it dropped.',
      file: 'roce/qp/uc-responder',
      find: `    this.#dropping = true;
`,
      replace: '',
    },
    {
      id: 'uc-unfinished-kept',
      wrong: 'UC joins two messages when the end of the first is lost.',
      file: 'roce/qp/uc-responder',
      find: `      if (this.#message.inProgress) this.#abandon();
`,
      replace: '',
    },
  ],
);
