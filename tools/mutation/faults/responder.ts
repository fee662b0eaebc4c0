/** Faults of what takes requests and answers them: their order, those that come again, and what is said of them. */
import { faultsOf } from '../fault-list.js';

export const RESPONDER_FAULTS = faultsOf(
  'engine',
  ['test/roce/rules', 'sim:1..40', 'test/roce'],
  [
    {
      id: 'duplicate-executed',
      wrong: 'A duplicate request is executed again.',
      file: 'roce/qp/responder',
      find: 'if (order < 0) return this.#onDuplicate(packet, now);',
      replace: '',
    },
    {
      id: 'ahead-executed',
      wrong: 'A packet ahead of the expected one is executed.',
      file: 'roce/qp/responder',
      find: 'if (order > 0) return this.#onGap(packet.psn);',
      replace: '',
    },
    {
      id: 'atomic-value-changed',
      wrong: 'A repeated atomic gets another value than the first time.',
      file: 'roce/qp/responder',
      find: "this.#qp.counters.count('atomicReplays');",
      replace: `this.#qp.counters.count('atomicReplays');
    saved.originalLow ^= 1;`,
    },
    {
      id: 'fetch-add-no-carry',
      wrong: 'The carry of a 64-bit fetch-and-add is lost.',
      file: 'roce/qp/atomics',
      find: 'sumLow > 0xffffffff ? 1 : 0',
      replace: '0',
    },
    {
      id: 'fetch-add-early-carry',
      wrong: 'A sum of exactly 0xffffffff carries.',
      file: 'roce/qp/atomics',
      find: 'sumLow > 0xffffffff ? 1 : 0',
      replace: 'sumLow >= 0xffffffff ? 1 : 0',
    },
    {
      id: 'compare-low-half',
      wrong: 'Compare-and-swap compares the low half only.',
      file: 'roce/qp/atomics',
      find: 'if (high === compareHigh && low === compareLow)',
      replace: 'if (low === compareLow)',
    },
    {
      id: 'ack-one-ahead',
      wrong: 'An ACK is one packet ahead of what arrived.',
      file: 'roce/qp/responder',
      find: 'const newest = psnAdd(this.#expectedPsn, -1);',
      replace: 'const newest = this.#expectedPsn;',
    },
    {
      id: 'duplicates-unanswered',
      wrong: 'Duplicates are not acknowledged.',
      file: 'roce/qp/responder',
      find: `    this.#answerDuplicate(now);
    return DropReason.DUPLICATE;`,
      replace: '    return DropReason.DUPLICATE;',
    },
    {
      id: 'nak-for-every-packet',
      wrong: 'Every packet behind a gap gets a NAK.',
      file: 'roce/qp/responder',
      find: 'if (!this.#nakSent) {',
      replace: 'if (true) {',
    },
    {
      id: 'no-nak-after-long-read',
      wrong: 'No second NAK after a READ of several packets.',
      file: 'roce/qp/responder',
      find: `    this.#expectedPsn = psnAdd(this.#expectedPsn, packets);
    this.#nakSent = false;`,
      replace: `    this.#expectedPsn = psnAdd(this.#expectedPsn, packets);
    if (packets === 1) this.#nakSent = false;`,
    },
    {
      id: 'gap-end-wraps',
      wrong: 'The end of a gap is compared as if PSNs did not wrap.',
      file: 'roce/qp/responder',
      find: 'return psnDiff(this.#gapEndPsn, this.#expectedPsn) > 0;',
      replace: 'return this.#gapEndPsn > this.#expectedPsn;',
    },
    {
      id: 'gap-end-not-moved',
      wrong: 'The end of a gap stays at its first packet.',
      file: 'roce/qp/responder',
      find: 'if (!this.#isMissing() || psnDiff(psn, this.#gapEndPsn) >= 0)',
      replace: 'if (!this.#isMissing())',
    },
    {
      id: 'read-resumed-answered-from-start',
      wrong: 'A resumed READ is answered from its beginning.',
      file: 'roce/qp/responder',
      find: 'this.responses.repeat(ResponseKind.READ, saved, packet.psn, offset, length);',
      replace: 'this.responses.repeat(ResponseKind.READ, saved, packet.psn, 0, length);',
    },
    {
      id: 'fatal-nak-survived',
      wrong: 'A queue pair survives a remote access NAK of its own.',
      file: 'roce/qp/responder',
      find: `        this.#refuse(Syndrome.NAK_REMOTE_ACCESS);
        this.#qp.fail('QP_ACCESS_ERR');`,
      replace: '        this.#refuse(Syndrome.NAK_REMOTE_ACCESS);',
    },
    {
      id: 'atomic-misaligned',
      wrong: 'Misaligned atomics are carried out.',
      file: 'roce/qp/responder',
      find: 'if (va % 8 !== 0)',
      replace: 'if (false)',
    },
    {
      id: 'atomic-unaligned-by-4',
      wrong: 'Atomics need be aligned to four bytes only.',
      file: 'roce/qp/responder',
      find: 'if (va % 8 !== 0)',
      replace: 'if (va % 4 !== 0)',
    },
    {
      id: 'replay-longer',
      wrong: 'A READ that is asked for again may be longer than the first time.',
      file: 'roce/qp/responder',
      find: ' || length > saved.length - offset',
      replace: '',
    },
    {
      id: 'replay-elsewhere',
      wrong: 'A READ that is asked for again may be for another address.',
      file: 'roce/qp/responder',
      find: 'va !== saved.va + offset || ',
      replace: '',
    },
    {
      id: 'replay-other-key',
      wrong: 'A READ that is asked for again may name another key.',
      file: 'roce/qp/responder',
      find: 'if (!sameMemory || ',
      replace: 'if (',
    },
    {
      id: 'replay-other-atomic',
      wrong: 'A compare-and-swap is answered as a repeated fetch-and-add.',
      file: 'roce/qp/responder',
      find: 'if (saved === null || saved.opcode !== packet.opcode)',
      replace: 'if (saved === null)',
    },
    {
      id: 'reads-without-room',
      wrong: 'READs and atomics are taken where none were allowed.',
      file: 'roce/qp/responder',
      find: 'if (this.#saved.capacity === 0) return DropReason.BAD_OPERATION;',
      replace: '',
    },
    {
      id: 'rnr-nak-repeated-gap',
      wrong: 'An RNR NAK is followed by NAKs for what is behind.',
      file: 'roce/qp/responder',
      find: `        this.#nakSent = true;
        this.#qp.counters.count('rnrNaksSent');`,
      replace: "        this.#qp.counters.count('rnrNaksSent');",
    },
    {
      id: 'rnr-timer-missing',
      wrong: 'An RNR NAK names no timer.',
      file: 'roce/qp/responder',
      find: 'Syndrome.RNR_NAK | this.#qp.minRnrTimer',
      replace: 'Syndrome.RNR_NAK',
    },
    {
      id: 'too-small-survived',
      wrong: 'A queue pair survives a message longer than its receive.',
      file: 'roce/qp/responder',
      find: `        this.#message.fail(WcStatus.LOC_LEN_ERR);
        this.#qp.enterError();`,
      replace: '        this.#message.fail(WcStatus.LOC_LEN_ERR);',
    },
    {
      id: 'shrink-keeps-oldest',
      wrong: 'Shrinking keeps the oldest saved operations.',
      file: 'roce/qp/saved-operations',
      find: '.slice(-capacity || oldestFirst.length)',
      replace: '.slice(0, capacity)',
    },
    {
      id: 'saved-overwritten',
      wrong: 'A saved operation is overwritten while it is being answered.',
      file: 'roce/qp/saved-operations',
      find: 'if (operation === undefined || operation.pending > 0) return null;',
      replace: 'if (operation === undefined) return null;',
    },
    {
      id: 'saved-found-behind',
      wrong: 'A saved operation is found one PSN behind its end.',
      file: 'roce/qp/saved-operations',
      find: 'offset < operation.packets',
      replace: 'offset <= operation.packets',
    },
    {
      id: 'saved-survives-reset',
      wrong: 'Saved operations survive a reset.',
      file: 'roce/qp/saved-operations',
      find: `      operation.used = false;
`,
      replace: '',
      judges: ['test/roce/rules', 'sim:1..40', 'test/roce'],
      equivalent: 'a queue pair that starts anew gets new places for them, and one in RESET takes no request',
    },
    {
      id: 'queued-read-cut',
      wrong: 'A queued READ answer is cut short by a repeat.',
      file: 'roce/qp/response-queue',
      find: 'const end = Math.max(queued.startOffset + queued.length, offset + length);',
      replace: 'const end = offset + length;',
    },
    {
      id: 'repeat-restarts-queued',
      wrong: 'A repeat of what has not left moves the answer ahead.',
      file: 'roce/qp/response-queue',
      find: 'if (offset < queued.startOffset + queued.sentBytes) {',
      replace: 'if (true) {',
    },
    {
      id: 'repeat-out-of-order',
      wrong: 'A repeated answer goes behind those to later requests.',
      file: 'roce/qp/response-queue',
      find: 'psnDiff(this.#at(place - 1).psn, psn) >= 0',
      replace: 'false',
    },
    {
      id: 'nak-becomes-ack',
      wrong: 'An acknowledgement replaces a NAK that has not left.',
      file: 'roce/qp/response-queue',
      find: 'if (isGap ? isMissing : isNak && response.psn === nakPsn) {',
      replace: 'if (false) {',
    },
    {
      id: 'nak-outlives-gap',
      wrong: 'A NAK stays one although nothing is missing any more.',
      file: 'roce/qp/response-queue',
      find: 'if (isGap ? isMissing :',
      replace: 'if (isGap ? true :',
    },
    {
      id: 'room-for-one-less',
      wrong: 'Answers leave one place fewer than an ACK and a NAK need.',
      file: 'roce/qp/response-queue',
      find: 'return this.#count + 2 < this.#capacity;',
      replace: 'return this.#count < this.#capacity;',
    },
    {
      id: 'drop-behind-keeps',
      wrong: 'Answers behind a fatal NAK still leave.',
      file: 'roce/qp/response-sender',
      find: `    queue.dropBehindFirst();
`,
      replace: '',
    },
    {
      id: 'replay-kills',
      wrong: 'A repetition that cannot be answered ends the queue pair.',
      file: 'roce/qp/response-sender',
      find: `    if (response.isReplay) return true;
`,
      replace: '',
    },
    {
      id: 'read-psn-stands-still',
      wrong: 'All packets of a READ answer have the PSN of the first.',
      file: 'roce/qp/response-sender',
      find: 'psnAdd(response.psn, response.sentBytes / qp.mtu)',
      replace: 'psnAdd(response.psn, 0)',
    },
    {
      id: 'answers-unlimited',
      wrong: 'Duplicates are answered without limit.',
      file: 'roce/qp/answer-limit',
      find: 'if (mayAt > now) {',
      replace: 'if (false) {',
    },
    {
      id: 'answer-owed-for-ever',
      wrong: 'An answer that was given stays owed.',
      file: 'roce/qp/answer-limit',
      find: `    this.#owedAt = NEVER;
`,
      replace: '',
      judges: ['test/roce/request-timers'],
    },
    {
      id: 'sequence-unchecked',
      wrong: 'A WRITE may go on as a SEND.',
      file: 'roce/qp/incoming-message',
      find: ': inside && (flags & (this.#progress === Progress.SEND ? SEND : WRITE)) !== 0;',
      replace: ': inside;',
    },
    {
      id: 'solicited-lost',
      wrong: 'A solicited message is reported as one that is not.',
      file: 'roce/qp/incoming-message',
      find: 'value, packet.solicited !== 0);',
      replace: 'value, false);',
    },
    {
      id: 'owed-acknowledgement-forgotten',
      wrong: 'A request that did not ask is never acknowledged by itself.',
      file: 'roce/qp/owed-acknowledgement',
      find: '    this.#isOwed = true;',
      replace: '    this.#isOwed = false;',
    },
    {
      id: 'owed-acknowledgement-too-soon',
      wrong: 'The acknowledgement of requests that did not ask leaves although more are coming.',
      file: 'roce/qp/owed-acknowledgement',
      find: 'const at = this.#isOwed ? this.#heardAt + QUIET_MICROS : NEVER;',
      replace: 'const at = this.#isOwed ? now : NEVER;',
    },
    {
      id: 'owed-acknowledgement-dies',
      wrong: 'A queue pair that is destroyed does not acknowledge what did not ask.',
      file: 'roce/qp/responder',
      find: `  dropAnswers(): void {
    if (this.#owed.isOwed) this.#acknowledge();
`,
      replace: `  dropAnswers(): void {
`,
    },
    {
      id: 'owed-acknowledgement-twice',
      wrong: 'An acknowledgement in between does not settle what is owed.',
      file: 'roce/qp/responder',
      find: `    this.#limit.settle();
    this.#owed.settle();
    const newest`,
      replace: `    this.#limit.settle();
    const newest`,
    },
  ],
);
