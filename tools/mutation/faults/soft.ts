/** Faults of the soft device. */
import { faultsOf } from '../fault-list.js';

export const SOFT_FAULTS = faultsOf(
  'soft',
  [
    'test/soft/small-print',
    'test/soft/wrong-calls',
    'test/soft/soft-device',
    'test/native/receiving',
    'test/native/exact-packets',
    'test/soft/ports',
    'test/conformance',
    'test/soft/event-loop',
  ],
  [
    {
      id: 'gives-way-amid-messages',
      wrong: 'A driver lets other work go first while it waits for a single message.',
      file: 'soft/giving-way',
      find: 'now - activeAt > PATIENT_MICROS ||',
      replace: 'now > activeAt ||',
      judges: ['test/soft/turning'],
    },
    {
      id: 'never-gives-way',
      wrong:
        'A driver that has sent or got many packets keeps the processor from the thread that delivers them.',
      file: 'soft/driver',
      find: `      if (batch.count >= MANY_PACKETS) this.#turning.noteMany(now);
`,
      replace: '',
      judges: ['test/soft/event-loop'],
    },
    {
      id: 'peer-of-this-processor-waits',
      wrong:
        'A driver that waits in vain keeps the processor from its peer, which the kernel has put there, until it sleeps.',
      file: 'soft/giving-way',
      find: 'now - activeAt > PATIENT_MICROS ||',
      replace: '',
      judges: ['test/soft/turning'],
    },
    {
      id: 'shared-processor-is-forgotten',
      wrong: 'A driver that shares its processor with its peer waits in vain before each turn of the peer.',
      file: 'soft/giving-way',
      find: 'if (this.#hasLetRun) this.#sharedUntil = now + SHARED_MICROS;',
      replace: '',
      judges: ['test/soft/turning'],
    },
    {
      id: 'gives-way-to-nobody',
      wrong:
        'A driver takes its peer for one of its own processor when a packet comes after some microseconds.',
      file: 'soft/giving-way',
      find: 'this.#hasLetRun = micros > SHORTEST_TURN_MICROS;',
      replace: 'this.#hasLetRun = micros > 0;',
      judges: ['test/soft/turning'],
    },
    {
      id: 'foreign-region-in-receive',
      wrong: 'A region of another device is accepted in a receive of several pieces.',
      file: 'roce/qp/posting',
      find: `    sgeLength(sge);
    handles.region(sge.mr);
  }
`,
      replace: `    sgeLength(sge);
  }
`,
    },
    {
      id: 'foreign-region',
      wrong: 'A region of another device is accepted in an SGE.',
      file: 'soft/soft-handles',
      find: '!(mr instanceof SoftMr) || !mr.belongsTo(this.#nic)',
      replace: '!(mr instanceof SoftMr)',
    },
    {
      id: 'foreign-window-bound',
      wrong: 'A window of another device is bound.',
      file: 'soft/soft-handles',
      find: 'mw instanceof SoftMw && mr instanceof SoftMr && mw.belongsTo(this.#nic) && mr.belongsTo(this.#nic)',
      replace: 'mw instanceof SoftMw && mr instanceof SoftMr && mr.belongsTo(this.#nic)',
    },
    {
      id: 'foreign-address-handle',
      wrong: 'An address handle of another device is taken.',
      file: 'soft/soft-handles',
      find: '!(ah instanceof SoftAh) || !ah.belongsTo(this.#nic)',
      replace: '!(ah instanceof SoftAh)',
    },
    {
      id: 'batch-stops-unsent',
      wrong: 'What comes before the failing request of a batch is not sent.',
      file: 'soft/soft-qp',
      find: `      for (const request of requests) this.#enqueueSend(request);
    } finally {
      this.#pd.softDevice.afterPost();
    }`,
      replace: `      for (const request of requests) this.#enqueueSend(request);
      this.#pd.softDevice.afterPost();
    } finally {
    }`,
    },
    {
      id: 'receive-pushed-before-checks',
      wrong: 'A receive with a wrong piece takes a place all the same.',
      file: 'roce/qp/posting',
      find: `    const length = sgeLength(sge);
    const region = handles.region(sge.mr);
    const offset = sge.offset ?? 0;
    queue.sges.add(queue.push(request.wrId), region, offset, length);`,
      replace: `    const slot = queue.push(request.wrId);
    const length = sgeLength(sge);
    const region = handles.region(sge.mr);
    const offset = sge.offset ?? 0;
    queue.sges.add(slot, region, offset, length);`,
    },
    {
      id: 'send-queue-overfull',
      wrong: 'A full send queue takes one more request.',
      file: 'roce/qp/posting',
      find: `  if (queue.full) {
    const message`,
      replace: `  if (queue.tail - queue.head > queue.maxWr) {
    const message`,
    },
    {
      id: 'receive-queue-overfull',
      wrong: 'A full receive queue takes one more request.',
      file: 'roce/qp/posting',
      find: `  if (queue.full) {
    throw new RdmaError('ERR_RDMA_QUEUE_FULL', \`the \${what}`,
      replace: `  if (queue.count > queue.maxWr) {
    throw new RdmaError('ERR_RDMA_QUEUE_FULL', \`the \${what}`,
    },
    {
      id: 'too-many-pieces-sent',
      wrong: 'A request may have one piece more than allowed.',
      file: 'roce/qp/posting',
      find: `  if (sges.length > queue.sges.maxSge) {
    throw tooManySges(sges.length, 'maxSendSge'`,
      replace: `  if (sges.length > queue.sges.maxSge + 1) {
    throw tooManySges(sges.length, 'maxSendSge'`,
    },
    {
      id: 'inline-too-long',
      wrong: 'Inline data may be one byte too long.',
      file: 'roce/qp/posting',
      find: 'if (length > queue.maxInline) {',
      replace: 'if (length > queue.maxInline + 1) {',
    },
    {
      id: 'solicited-flag-ignored',
      wrong: 'The flag SOLICITED is not passed on.',
      file: 'roce/qp/posting',
      find: 'wqe.solicited = (flags & SendFlags.SOLICITED) !== 0;',
      replace: 'wqe.solicited = false;',
    },
    {
      id: 'fence-flag-ignored',
      wrong: 'The flag FENCE is not passed on.',
      file: 'roce/qp/posting',
      find: 'wqe.fence = (flags & SendFlags.FENCE) !== 0;',
      replace: 'wqe.fence = false;',
    },
    {
      id: 'atomic-signed-high',
      wrong: 'The high half of a negative operand is lost.',
      file: 'roce/qp/posting',
      find: 'rare.swapAddHigh = Number(swapAdd >> 32n);',
      replace: 'rare.swapAddHigh = Number(swapAdd >> 32n) & 0x7fffffff;',
    },
    {
      id: 'swap-and-compare-exchanged',
      wrong: 'A compare-and-swap swaps what it should compare with.',
      file: 'roce/qp/posting',
      find: 'BigInt.asUintN(64, isSwap ? swap : compareAdd)',
      replace: 'BigInt.asUintN(64, compareAdd)',
    },
    {
      id: 'va-unsafe-taken',
      wrong: 'Remote addresses that no number holds exactly are rounded.',
      file: 'roce/qp/posting',
      find: 'if (!Number.isSafeInteger(address) || address < 0) throw',
      replace: 'if (address < 0) throw',
    },
    {
      id: 'post-in-rtr',
      wrong: 'A request may be posted before RTS.',
      file: 'roce/qp/qp',
      find: 'if (!mayPostSend(this.state))',
      replace: 'if (!mayPostRecv(this.state))',
    },
    {
      id: 'srq-and-own-receives',
      wrong: 'A queue pair with a shared receive queue takes receives of its own.',
      file: 'roce/qp/qp',
      find: `    if (this.srq !== null) throw usageError('the queue pair has a shared receive queue: post to that one');
`,
      replace: '',
    },
    {
      id: 'srq-limit-above',
      wrong: 'A shared receive queue takes a limit that it never reaches.',
      file: 'soft/soft-qp',
      find: ' || limit > this.maxWr',
      replace: '',
    },
    {
      id: 'closed-queue-taken',
      wrong: 'A closed completion queue is taken for a queue pair.',
      file: 'soft/soft-pd',
      find: 'cq.belongsTo(this.live) && !cq.closed',
      replace: 'cq.belongsTo(this.live)',
    },
    {
      id: 'view-offset-lost',
      wrong: 'A region over a part of a buffer begins at the buffer.',
      file: 'soft/soft-pd',
      find: 'new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)',
      replace: 'new Uint8Array(buffer.buffer, 0, buffer.byteLength)',
    },
    {
      id: 'closed-window-stays-bound',
      wrong: 'A closed window stays bound.',
      file: 'soft/soft-memory',
      find: `    if (this.window.grant !== null) this.#owner.nic.regions.revoke(this.window.grant);
`,
      replace: '',
    },
    {
      id: 'notify-narrowed',
      wrong: 'A queue that is armed for everything is narrowed to solicited completions.',
      file: 'soft/soft-cq',
      find: 'else if (this.engine.arm === CqArm.NONE) this.engine.arm = CqArm.SOLICITED;',
      replace: 'else this.engine.arm = CqArm.SOLICITED;',
    },
    {
      id: 'overrun-hidden',
      wrong: 'A queue that lost completions reads as empty.',
      file: 'soft/soft-cq',
      find: 'if (this.engine.overrun && this.engine.count === 0) {',
      replace: 'if (false) {',
    },
    {
      id: 'event-twice',
      wrong: 'One queue waits twice among the events of its channel.',
      file: 'verbs/event-queue',
      find: 'else if (!this.#events.includes(cq)) this.#events.push(cq);',
      replace: 'else this.#events.push(cq);',
    },
    {
      id: 'waiters-not-told',
      wrong: 'Those who wait for an event are not told that the channel closed.',
      file: 'verbs/event-queue',
      find: `    for (const waiter of this.#waiters.splice(0)) waiter.reject(closedError('the completion channel'));
`,
      replace: '',
    },
    {
      id: 'ect-is-congestion',
      wrong: 'ECT is taken for a congestion mark.',
      file: 'soft/native-port',
      find: '(trafficClass & CONGESTION_EXPERIENCED) === CONGESTION_EXPERIENCED',
      replace: '(trafficClass & CONGESTION_EXPERIENCED) !== 0',
    },
    {
      id: 'freed-memory-sent',
      wrong: 'The native port sends from memory that a program has given away.',
      file: 'soft/native-port',
      find: `      if (!region.usable) native.region[i] = 0;
`,
      replace: '',
      judges: [
        'test/soft/small-print',
        'test/soft/wrong-calls',
        'test/soft/soft-device',
        'test/native/receiving',
        'test/native/exact-packets',
        'test/soft/ports',
        'test/conformance',
        'test/soft/event-loop',
      ],
      equivalent: 'the engine looks at the same memory in the same turn, when it makes the packet',
    },
    {
      id: 'turns-for-keep-alives',
      wrong: 'A device turns the event loop for every packet, however seldom they come.',
      file: 'soft/turning',
      find: ' || this.#inVain >= MANY_IN_VAIN',
      replace: '',
      judges: ['test/soft/turning'],
    },
    {
      id: 'wakes-for-what-has-come',
      wrong: 'A sleeping device works at each deadline, also of answers that have come.',
      file: 'soft/turning',
      find: 'if (this.#waiting.nextWake() <= now) this.#waiting.onDeadline(now);',
      replace: 'if (now > 0) this.#waiting.onDeadline(now);',
      judges: ['test/soft/turning'],
    },
    {
      id: 'turns-in-spite-of-others',
      wrong: 'A device turns on where others want its processor.',
      file: 'soft/turning',
      find: 'if (now - before > INTERRUPTED_MICROS) this.#rest(now);',
      replace: '',
      judges: ['test/soft/turning'],
    },
    {
      id: 'source-not-read',
      wrong: 'Datagrams of a second sender seem to come from the first.',
      file: 'soft/native-port',
      find: 'if (records[at + SOURCE_NUMBER] !== this.#sourceNumber) this.#readSource(at, into);',
      replace: 'if (this.#sourceNumber === 0) this.#readSource(at, into);',
    },
    {
      id: 'dgram-never-writable',
      wrong: 'A blocked port of node:dgram stays so.',
      file: 'soft/dgram-port',
      find: `      this.#blocked = false;
      this.listener?.onWritable();`,
      replace: '      this.listener?.onWritable();',
    },
    {
      id: 'dgram-port-lost',
      wrong: 'A port of node:dgram forgets the source port.',
      file: 'soft/dgram-port',
      find: `    datagram.source.port = peer.port;
`,
      replace: '',
    },
    {
      id: 'capture-comment-repeated',
      wrong: 'A comment in a capture stays for all packets.',
      file: 'soft/capturing-port',
      find: `    this.#comment = undefined;
`,
      replace: '',
    },
    {
      id: 'spec-address-brackets',
      wrong: 'An IPv6 address in brackets is refused.',
      file: 'soft/soft-spec',
      find: ".replace(/^\\[(.*)\\]$/, '$1')",
      replace: '',
    },
    {
      id: 'spec-probability-above',
      wrong: 'A probability above 1 is taken.',
      file: 'soft/soft-spec',
      find: '!(value >= 0 && value <= 1)',
      replace: '!(value >= 0)',
    },
    {
      id: 'closed-in-use',
      wrong: 'An object closes under what needs it.',
      file: 'verbs/object-life',
      find: `  closeNow(destroy: () => void): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    if (this.users > 0) return Promise.reject(this.#inUse());`,
      replace: `  closeNow(destroy: () => void): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    if (this.users > 1) return Promise.reject(this.#inUse());`,
    },
    {
      id: 'closed-twice',
      wrong: 'An object that is closed twice is destroyed twice.',
      file: 'verbs/object-life',
      find: `  closeNow(destroy: () => void): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;`,
      replace: '  closeNow(destroy: () => void): Promise<void> {',
    },
    {
      id: 'needs-kept',
      wrong: 'A closed object keeps what it needs from being closed.',
      file: 'verbs/object-life',
      find: `    this.#list.remove(this);
    for (const need of this.#needs) need.users--;`,
      replace: '    this.#list.remove(this);',
    },
    {
      id: 'census-kept',
      wrong: 'A closed object stays in the census.',
      file: 'verbs/object-life',
      find: `    this.#list.remove(this);
`,
      replace: '',
    },
    {
      id: 'miscarried-counted',
      wrong: 'An object that could not be made stays counted.',
      file: 'verbs/object-life',
      find: `    life.miscarry();
`,
      replace: '',
      judges: ['test/ibverbs/no-device', 'test/verbs', 'test/soft/wrong-calls'],
    },
    {
      id: 'last-message-lost',
      wrong: 'Of several datagrams the last one is lost.',
      file: 'soft/driver',
      find: `    for (let i = 0; i < count; i++) {
      if (i > 0 && i % BURST_DATAGRAMS`,
      replace: `    for (let i = 0; i < count - 1; i++) {
      if (i > 0 && i % BURST_DATAGRAMS`,
    },
    {
      id: 'first-look-in-vain-drives',
      wrong:
        'A program that looks once in vain while it is told of an event has its device send what is not all.',
      file: 'soft/driver',
      find: '    if (this.#isTelling) {',
      replace: '    if (false) {',
      judges: ['test/soft/event-loop'],
    },
    {
      id: 'looks-in-vain-never-drive',
      wrong: 'A program that polls while it is told of an event waits for ever.',
      file: 'soft/driver',
      find: '      this.#isTelling = false;\n      return;',
      replace: '      return;',
      judges: ['test/soft/event-loop'],
    },
    {
      id: 'deadline-unserved',
      wrong: 'A deadline that has passed wakes nobody.',
      file: 'soft/driver',
      find: `    if (!this.#stopped) this.#nic.handleTimeout(now);
`,
      replace: '',
    },
  ],
);
