/** Faults of the communication manager: its messages, its states, and what it takes from peers. */
import { faultsOf } from '../fault-list.js';

const ACTIVE = 'roce/cm/active';
const PASSIVE = 'roce/cm/passive';
const ENDING = 'roce/cm/ending';
const CHECKS = 'roce/cm/request-checks';
const IDENTITIES = 'roce/cm/identities';
const LOOKUPS = 'roce/cm/lookups';
const HEADER = 'roce/cm/wire/cma-header';
const REQ = 'roce/cm/wire/req';
const MESSAGE = 'roce/cm/wire/message';
const PATHS = 'roce/cm/bring-up-paths';

export const CM_FAULTS = faultsOf(
  'cm',
  ['test/roce/cm', 'cm:1..600', 'fuzz:cm'],
  [
    {
      id: 'cm-stale-without-asking',
      wrong: 'Whoever claims the queue pair of a peer ends its connection, though the peer lives.',
      file: ENDING,
      find: 'if (connection.rep === null) {',
      replace: 'if (connection !== null) {',
    },
    {
      id: 'cm-doubt-for-ever',
      wrong: 'A peer that confirms its connection is not believed.',
      file: PASSIVE,
      find: '    else if (connection.isInDoubt) this.#ending.endDoubt(connection);\n',
      replace: '',
    },
    {
      id: 'cm-lost-rej-of-client',
      wrong: 'A REJ of the active side that is lost is not said again.',
      file: ENDING,
      find: '    if (connection.isActive) connection.answer = rej;\n    else this.#refuse',
      replace: '    this.#refuse',
    },
    {
      id: 'cm-longer-mad',
      wrong: 'A MAD of more than 256 bytes is taken for what it begins with.',
      file: MESSAGE,
      find: 'mad.length !== MAD_BYTES',
      replace: 'mad.length < MAD_BYTES',
    },
    {
      id: 'cm-any-class-version',
      wrong: 'Messages of another version of the class are taken.',
      file: MESSAGE,
      find: '  if (madClassVersion(mad) !== CM_CLASS_VERSION) return CmDropReason.BAD_VERSION;\n',
      replace: '',
    },
    {
      id: 'cm-mtu-in-low-bits',
      wrong: 'The MTU of a REQ is read out of the wrong half of its byte.',
      file: REQ,
      find: 'mtu: mtuAndRetry >>> 4',
      replace: 'mtu: mtuAndRetry & 15',
    },
    {
      id: 'cm-flow-label-shifted',
      wrong: 'The flow label of a REQ is read with the bits behind it.',
      file: REQ,
      find: 'flowLabel: word >>> 12',
      replace: 'flowLabel: word >>> 8',
    },
    {
      id: 'cm-mapped-ipv4',
      wrong: 'IPv4 in a CMA header is written as ::ffff:a.b.c.d, which Linux refuses.',
      file: HEADER,
      find: '  if (isIpv4(address)) writeU32(bytes, at + 8, 0);\n',
      replace: '',
    },
    {
      id: 'cm-psns-swapped',
      wrong: 'The active side begins to send with the PSN of its own REQ.',
      file: PATHS,
      find: 'own: { psn: rep.startingPsn as Psn, mtu, rdAtomic,',
      replace: 'own: { psn: req.startingPsn as Psn, mtu, rdAtomic,',
    },
    {
      id: 'cm-more-reads-than-offered',
      wrong: 'A peer gets as many READs as it likes.',
      file: PATHS,
      find: 'Math.min(rep.initiatorDepth, req.responderResources)',
      replace: 'rep.initiatorDepth',
    },
    {
      id: 'cm-timeout-0',
      wrong: 'An ACK timeout of 0 in a REQ stays 0, which is never.',
      file: PATHS,
      find: 'Math.max(primary.ackTimeout, 1)',
      replace: 'primary.ackTimeout',
    },
    {
      id: 'cm-rep-from-anybody',
      wrong: 'A REP counts from any address.',
      file: ACTIVE,
      find: 'else if (!sameGid(from, connection.peer)) host.drop(CmDropReason.WRONG_SOURCE);\n    else if (!connection.isActive)',
      replace: 'else if (!connection.isActive)',
    },
    {
      id: 'cm-rtu-once',
      wrong: 'An RTU that was lost is not said again.',
      file: ACTIVE,
      find: 'connection.answer = this.#host.send(connection, {',
      replace: 'this.#host.send(connection, {',
    },
    {
      id: 'cm-patience-without-end',
      wrong: 'An MRA makes a host wait as long as it says.',
      file: ACTIVE,
      find: 'Math.min(millis, LONGEST_SERVICE_MILLIS)',
      replace: 'millis',
    },
    {
      id: 'cm-stale-rep-taken',
      wrong: 'A REP whose queue pair has a connection already is taken.',
      file: ACTIVE,
      find: '    if (older !== undefined) {\n      this.#refuseStale(connection, older, rep);\n      return;\n    }\n',
      replace: '    void older;\n',
    },
    {
      id: 'cm-req-twice',
      wrong: 'A REQ that comes again is taken for another connection.',
      file: PASSIVE,
      find: 'if (known !== undefined && isSame(known.req, req)) {',
      replace: 'if (known !== undefined && known.wasEstablished) {',
    },
    {
      id: 'cm-other-req-is-same',
      wrong: 'A REQ with a known ID is answered with the REP of another connection.',
      file: PASSIVE,
      find: 'const isSame = (a: Req, b: Req): boolean =>',
      replace: 'const isSame = (a: Req, b: Req): boolean => a === a ||',
    },
    {
      id: 'cm-backlog-off-by-one',
      wrong: 'A listener takes one request more than its backlog.',
      file: PASSIVE,
      find: 'if (listener.waiting >= listener.options.backlog)',
      replace: 'if (listener.waiting > listener.options.backlog)',
    },
    {
      id: 'cm-request-for-ever',
      wrong: 'A request that its program forgets stays.',
      file: PASSIVE,
      find: '    connection.expiresAt = host.now + REQUEST_MILLIS;\n    host.schedule(connection);\n    host.counters.requests++;',
      replace: '    host.counters.requests++;',
    },
    {
      id: 'cm-dreq-any-qpn',
      wrong: 'A DREQ for another queue pair ends the connection.',
      file: ENDING,
      find: '    else if (dreq.qpn !== connection.localQpn) host.drop(CmDropReason.WRONG_QPN);\n',
      replace: '',
    },
    {
      id: 'cm-dreq-unanswered',
      wrong: 'A DREQ for unknown IDs is not answered, so the peer waits.',
      file: ENDING,
      find: '      if (isHostAddress(from)) host.replyTo(to, from, 0, drepTo(dreq));\n',
      replace: '',
    },
    {
      id: 'cm-answers-groups',
      wrong: 'A DREQ that seems to come from a group is answered.',
      file: ENDING,
      find: 'if (isHostAddress(from)) host.replyTo(',
      replace: 'if (isHostAddress(from) || true) host.replyTo(',
    },
    {
      id: 'cm-end-twice',
      wrong: 'An end is told again.',
      file: ENDING,
      find: '    if (!connection.isToldEnd) this.#host.emit(event);\n',
      replace: '    this.#host.emit(event);\n',
    },
    {
      id: 'cm-remembered-without-end',
      wrong: 'Requests that were refused are remembered without bound.',
      file: ENDING,
      find: 'if (this.#remembered.size <= this.#host.limits.maxRemembered) return;',
      replace: 'if (this.#remembered.size > 0) return;',
    },
    {
      id: 'cm-id-reused',
      wrong: 'A communication ID is given out while another connection has it.',
      file: IDENTITIES,
      find: 'id !== 0 && !this.#byCommId.has(id) && !this.#requestIds.has(id)',
      replace: 'id !== 0',
    },
    {
      id: 'cm-half-open-stays',
      wrong: 'A request that is over still counts against its source.',
      file: 'roce/cm/cm-host',
      find: '    if (connection.isHalfOpen) this.identities.countHalfOpen(connection.peer, -1);\n',
      replace: '',
    },
    {
      id: 'cm-path-of-anybody',
      wrong: 'A REQ may have REPs sent to another address than its own.',
      file: CHECKS,
      find: '!host.isOwn(remoteGid) || !sameGid(localGid, from)',
      replace: '!host.isOwn(remoteGid)',
    },
    {
      id: 'cm-foreign-destination',
      wrong: 'A listener on all addresses takes requests for an address of somebody else.',
      file: CHECKS,
      find: 'listener === undefined || !host.isOwn(names.destination)',
      replace: 'listener === undefined',
    },
    {
      id: 'cm-lookup-answer-of-anybody',
      wrong: 'The answer to a lookup counts from any address.',
      file: LOOKUPS,
      find: '    else if (!sameGid(from, lookup.peer)) host.drop(CmDropReason.WRONG_SOURCE);\n',
      replace: '',
    },
    {
      id: 'cm-lookup-answers-stay',
      wrong: 'Answers to lookups are remembered without bound.',
      file: LOOKUPS,
      find: 'if (this.#answered.size > host.limits.maxRemembered && oldest !== undefined) this.#forget(oldest);',
      replace: 'void oldest;',
    },
    {
      id: 'cm-rep-of-any-transaction',
      wrong:
        'A REP counts whatever transaction it belongs to, so that an ID of 32 bits is all that must be guessed.',
      file: ACTIVE,
      find: 'rep.transactionId !== connection.transactionId',
      replace: 'connection.transactionId < 0n',
    },
    {
      id: 'cm-rej-of-any-transaction',
      wrong: 'A REJ of an unanswered REQ counts whatever transaction it belongs to.',
      file: ENDING,
      find: 'if (isMeant && isAnswer) return connection;',
      replace: 'if (isMeant) return connection;',
    },
    {
      id: 'cm-cancel-by-one-id',
      wrong: 'A connection that is up is taken back by somebody who names one ID alone.',
      file: ENDING,
      find: '(rej.remoteCommId === 0 && !connection.wasEstablished)',
      replace: 'rej.remoteCommId === 0',
    },
    {
      id: 'cm-lookup-of-any-transaction',
      wrong: 'The answer to a lookup counts whatever transaction it belongs to.',
      file: LOOKUPS,
      find: 'rep.transactionId !== lookup.transactionId',
      replace: 'lookup.transactionId < 0n',
    },
    {
      id: 'cm-speaks-to-the-silent',
      wrong: 'A REP for somebody who was never heard goes out as often as the REQ asks.',
      file: PASSIVE,
      find: 'Math.min(req.maxCmRetries, UNHEARD_REPEATS)',
      replace: 'Math.min(req.maxCmRetries, MAX_CM_RETRIES)',
    },
    {
      id: 'cm-silent-stay',
      wrong: 'Requests whose peers are silent keep all others out.',
      file: PASSIVE,
      find: "(room === 'full' && !this.#makeRoom())",
      replace: "room === 'full'",
    },
    {
      id: 'cm-greedy-drives-others-out',
      wrong: 'An address that has all that it may have others give way to it.',
      file: IDENTITIES,
      find: "if (count >= this.#limits.maxHalfOpenOfSource) return 'source-limit';",
      replace:
        "if (count >= this.#limits.maxHalfOpenOfSource && this.#halfOpen < this.#limits.maxHalfOpen) return 'source-limit';",
    },
  ],
);
