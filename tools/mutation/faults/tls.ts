/** Faults of TLS: who gets in, and who is believed to be whom. */
import { faultsOf } from '../fault-list.js';
import { SESSION_JUDGES } from '../judge-lists.js';

export const TLS_FAULTS = faultsOf('session', SESSION_JUDGES, [
  {
    id: 'gate-per-address-above',
    wrong: 'One address may have one connection more than allowed.',
    file: 'session/connect-gate',
    find: 'if (visitor.open > maxPerAddress)',
    replace: 'if (visitor.open > maxPerAddress + 1)',
  },
  {
    id: 'gate-connects-cost-nothing',
    wrong: 'A connect takes no token.',
    file: 'session/connect-gate',
    find: '    visitor.bucket.take(1, now);\n',
    replace: '',
  },
  {
    id: 'gate-refused-costs-nothing',
    wrong: 'A connection that is refused does not count as open.',
    file: 'session/connect-gate',
    find: `    visitor.open++;
    if (!`,
    replace: `    if (visitor.bucket.refill(now)) visitor.open++;
    if (!`,
  },
  {
    id: 'gate-open-forgotten',
    wrong: 'An address with open connections is forgotten.',
    file: 'session/connect-gate',
    find: '--visitor.open > 0',
    replace: '--visitor.open > Number.MAX_VALUE',
  },
  {
    id: 'gate-ipv6-each',
    wrong: 'Each IPv6 address counts for itself.',
    file: 'session/network-of',
    find: 'groups.slice(0, 4)',
    replace: 'groups.slice(0, 8)',
  },
  {
    id: 'gate-mapped',
    wrong: 'An IPv4 address counts twice, mapped and plain.',
    file: 'session/network-of',
    find: ".replace(/^::ffff:(?=\\d+\\.)/, '')",
    replace: '',
  },
  {
    id: 'gate-leave-forgotten',
    wrong: 'A refused connection stays counted for its address.',
    file: 'session/tls-server',
    find: '      this.#gate.leave(address);\n',
    replace: '      if (refusal === undefined) this.#gate.leave(address);\n',
  },
  {
    id: 'handshakes-unbounded',
    wrong: 'There is no limit to the handshakes under way.',
    file: 'session/tls-server',
    find: `    if (refusal === undefined) this.#makeRoom();
`,
    replace: '',
  },
  {
    id: 'newest-gives-way',
    wrong: 'When there are too many handshakes, one too many gives way.',
    file: 'session/tls-server',
    find: 'if (this.#pending.size < this.#limits.maxHandshakes) break;',
    replace: 'if (this.#pending.size < this.#limits.maxHandshakes - 1) break;',
  },
  {
    id: 'closing-accepts',
    wrong: 'A server that closes still takes connections that were in TLS.',
    file: 'session/tls-server',
    find: 'if (handshake === undefined || handshake.verdict !== undefined || this.#closing !== undefined) {',
    replace: 'if (handshake === undefined || handshake.verdict !== undefined) {',
    equivalent:
      'what is in TLS when a server closes gets a verdict then, and what comes later gets one at once',
  },
  {
    id: 'unverified-client',
    wrong: 'A client whose certificate was not verified is let in.',
    file: 'session/tls-server',
    find: 'requestCert: true, rejectUnauthorized: true',
    replace: 'requestCert: true, rejectUnauthorized: false',
  },
  {
    id: 'alpn-unchecked',
    wrong: 'A client that does not speak our protocol is let in.',
    file: 'session/tls-server',
    find: 'if (!speaksOurProtocol(socket)) {',
    replace: 'if (false) {',
  },
  {
    id: 'tickets-given',
    wrong: 'A server gives out session tickets.',
    file: 'session/tls-server',
    find: `    secureOptions: constants.SSL_OP_NO_TICKET,
`,
    replace: '',
  },
  {
    id: 'client-auth-switched-off',
    wrong: 'New certificates may turn client authentication off.',
    file: 'session/tls-server',
    find: 'if ((certificates.clientCa === undefined) !== (this.#options.clientCa === undefined)) {',
    replace: 'if (false) {',
  },
  {
    id: 'abort-listener-kept',
    wrong: 'A connection that was made leaves its listener at the signal.',
    file: 'session/tls-client',
    find: `      options.signal?.removeEventListener('abort', onAbort);
`,
    replace: '',
  },
  {
    id: 'servername-ignored',
    wrong: 'The name that the certificate must hold is ignored.',
    file: 'session/tls-client',
    find: 'servername !== undefined ? { servername } : isIP',
    replace: 'isIP',
  },
  {
    id: 'server-unverified',
    wrong: 'A server whose certificate was not verified is taken.',
    file: 'session/tls-client',
    find: 'rejectUnauthorized: true,',
    replace: 'rejectUnauthorized: false,',
  },
  {
    id: 'context-of-another',
    wrong: 'The context of another certificate is used again.',
    file: 'session/client-credentials',
    find: 'fields.every((field, place) => field === wanted[place])',
    replace: 'fields[0] === wanted[0]',
  },
  {
    id: 'contexts-unbounded',
    wrong: 'Contexts are kept without limit.',
    file: 'session/client-credentials',
    find: `  if (kept.length > MOST_KEPT) kept.pop();
`,
    replace: '',
  },
  {
    id: 'identity-unverified',
    wrong: 'A certificate that was not verified is an identity.',
    file: 'session/peer-identity',
    find: `  if (!socket.authorized) return null;
`,
    replace: '',
    equivalent:
      'no side gets a certificate without verifying it: a server without an authority asks for none',
  },
]);
