/** Faults of keys, nonces, bindings and sealed memory. */
import { faultsOf } from '../fault-list.js';

export const SEALING_FAULTS = faultsOf(
  'sealing',
  [
    'test/connection/sealing-vectors',
    'test/session/session-secrets',
    'test/connection/sealed-memory',
    'test/connection/sealing',
    'test/session/establish-session',
    'test/connection/encryption',
    'fuzz:sealed',
  ],
  [
    {
      id: 'one-key-for-both',
      wrong: 'The exporter label leaves out the sender, so that both directions share key and nonce.',
      file: 'session/session-secrets',
      find: `\`EXPORTER-queuepair-\${purpose}-\${sender}\``,
      replace: `\`EXPORTER-queuepair-\${purpose}\``,
    },
    {
      id: 'one-key-for-all-purposes',
      wrong: 'Messages and memory share their keys.',
      file: 'session/session-secrets',
      find: `\`EXPORTER-queuepair-\${purpose}-\${sender}\``,
      replace: `\`EXPORTER-queuepair-\${sender}\``,
    },
    {
      id: 'teller-not-bound',
      wrong: 'Parameters are not tied to who told them.',
      file: 'session/session-secrets',
      find: `\`\${teller} \${exporter.sessionsBefore} \${psn} \${canonical({ path, terms })}\``,
      replace: `\`\${exporter.sessionsBefore} \${psn} \${canonical({ path, terms })}\``,
    },
    {
      id: 'session-not-bound',
      wrong: 'Parameters are not tied to the session of the channel.',
      file: 'session/session-secrets',
      find: `\`\${teller} \${exporter.sessionsBefore} \${psn} \${canonical({ path, terms })}\``,
      replace: `\`\${teller} \${psn} \${canonical({ path, terms })}\``,
    },
    {
      id: 'psn-not-bound',
      wrong: 'Parameters are not tied to the PSN.',
      file: 'session/session-secrets',
      find: `\`\${teller} \${exporter.sessionsBefore} \${psn} \${canonical({ path, terms })}\``,
      replace: `\`\${teller} \${exporter.sessionsBefore} \${canonical({ path, terms })}\``,
    },
    {
      id: 'parameters-not-bound',
      wrong: 'A binding covers no parameters.',
      file: 'session/session-secrets',
      find: `\`\${teller} \${exporter.sessionsBefore} \${psn} \${canonical({ path, terms })}\``,
      replace: `\`\${teller} \${exporter.sessionsBefore} \${psn}\``,
    },
    {
      id: 'keys-of-every-session',
      wrong: 'The sessions of a channel have the same keys.',
      file: 'session/session-secrets',
      find: '[exporter.sessionsBefore, ofServer.psn, ofServer.qpn, ofClient.psn, ofClient.qpn]',
      replace: '[ofServer.psn, ofServer.qpn, ofClient.psn, ofClient.qpn]',
    },
    {
      id: 'keys-without-client',
      wrong: 'Keys are not bound to the queue pair of the client.',
      file: 'session/session-secrets',
      find: '[exporter.sessionsBefore, ofServer.psn, ofServer.qpn, ofClient.psn, ofClient.qpn]',
      replace: '[exporter.sessionsBefore, ofServer.psn, ofServer.qpn]',
    },
    {
      id: 'keys-exchanged',
      wrong: 'Both sides take the keys of the other direction.',
      file: 'session/session-secrets',
      find: 'return isServer ? { own: server, peer: client } : { own: client, peer: server };',
      replace: 'return isServer ? { own: client, peer: server } : { own: server, peer: client };',
    },
    {
      id: 'binding-length-only',
      wrong: 'A binding of the right length is taken.',
      file: 'session/session-secrets',
      find: 'given.length === wanted.length && timingSafeEqual(given, wanted)',
      replace: 'given.length === wanted.length',
    },
    {
      id: 'nested-order',
      wrong: 'A binding depends on the order of the fields.',
      file: 'session/session-secrets',
      find: '.sort(([a], [b]) => (a < b ? -1 : 1))',
      replace: '',
    },
    {
      id: 'nonce-16-bits',
      wrong: 'Only 16 bits of the counter enter the nonce, which repeats after 65,536 pieces.',
      file: 'connection/sealing',
      find: 'this.nonce.writeUInt32BE((this.nonce.readUInt32BE(8) ^ this.#count) >>> 0, 8);',
      replace: 'this.nonce.writeUInt16BE((this.nonce.readUInt16BE(10) ^ this.#count) & 0xffff, 10);',
    },
    {
      id: 'nonce-stands-still',
      wrong: 'Every piece has the same nonce.',
      file: 'connection/sealing',
      find: `    this.#count++;
`,
      replace: '',
    },
    {
      id: 'nonce-added',
      wrong: 'The counter is added to the nonce instead of XOR.',
      file: 'connection/sealing',
      find: '(this.nonce.readUInt32BE(8) ^ this.#count) >>> 0',
      replace: '(this.nonce.readUInt32BE(8) + this.#count) >>> 0',
    },
    {
      id: 'nonce-start-kept',
      wrong: 'The initial nonce stays when the key changes.',
      file: 'connection/sealing',
      find: `    this.#iv = bytes.subarray(KEY_BYTES);
`,
      replace: '',
    },
    {
      id: 'key-kept',
      wrong: 'The key stays when it should change.',
      file: 'connection/sealing',
      find: `    this.key = bytes.subarray(0, KEY_BYTES);
`,
      replace: '',
    },
    {
      id: 'renewed-late',
      wrong: 'A key takes one piece more than allowed.',
      file: 'connection/sealing',
      find: 'if (this.#count === this.#piecesPerKey) this.#renew();',
      replace: 'if (this.#count > this.#piecesPerKey) this.#renew();',
    },
    {
      id: 'renewed-count-kept',
      wrong: 'The counter goes on when the key changes.',
      file: 'connection/sealing',
      find: `    this.#count = 0;
`,
      replace: '',
    },
    {
      id: 'limit-of-pieces',
      wrong: 'A key is used for 2^32 pieces.',
      file: 'connection/sealing',
      find: 'const PIECES_PER_KEY = 2 ** 23;',
      replace: 'const PIECES_PER_KEY = 2 ** 32;',
    },
    {
      id: 'seal-without-header',
      wrong: 'The header of a sealed message is not authenticated by the sender.',
      file: 'connection/sealing',
      find: `cipher.setAAD(header);
    out`,
      replace: `cipher.setAAD(new Uint8Array(24));
    out`,
    },
    {
      id: 'open-without-header',
      wrong: 'The header of a sealed message is not authenticated.',
      file: 'connection/sealing',
      find: `    decipher.setAAD(header);
`,
      replace: `    decipher.setAAD(new Uint8Array(24));
`,
      judges: ['test/connection/sealing-vectors', 'test/connection/sealing', 'fuzz:messages'],
    },
    {
      id: 'tag-short',
      wrong: 'A short tag is taken.',
      file: 'connection/sealing',
      find: 'createDecipheriv(CIPHER, schedule.key, schedule.nonce, { authTagLength: TAG_BYTES })',
      replace: 'createDecipheriv(CIPHER, schedule.key, schedule.nonce)',
      equivalent: 'a piece is cut so that its tag always has 16 bytes',
    },
    {
      id: 'tag-unchecked',
      wrong: 'What does not authenticate is taken.',
      file: 'connection/sealing',
      find: `    } catch {
      return undefined;
    }`,
      replace: `    } catch {
      return plain;
    }`,
    },
    {
      id: 'sealed-write-twice',
      wrong: 'A sealed write counts twice.',
      file: 'connection/sealed-memory',
      find: 'if (counter <= this.#lastOpened)',
      replace: 'if (counter < this.#lastOpened)',
    },
    {
      id: 'changed-bytes-stay',
      wrong: 'Bytes that were changed on the way stay in memory.',
      file: 'connection/sealed-memory',
      find: 'memory.fill(0);',
      replace: '',
    },
    {
      id: 'sealed-write-read-only',
      wrong: 'A sealed write may lie where the peer may only read.',
      file: 'connection/sealed-memory',
      find: "length, 'write')",
      replace: "length, 'read')",
    },
    {
      id: 'sealed-address-free',
      wrong: 'The address of a sealed write is not authenticated.',
      file: 'connection/sealed-memory',
      find: 'decipher.setAAD(data.subarray(8, 24));',
      replace:
        'decipher.setAAD(Buffer.concat([data.subarray(8, 15), Buffer.of((data[15] ?? 0) & 0xfe), data.subarray(16, 24)]));',
    },
    {
      id: 'answer-other-length',
      wrong: 'An answer of another length is taken.',
      file: 'connection/sealed-memory',
      find: ' || data.length - NUMBER_BYTES !== request.into.length',
      replace: '',
    },
    {
      id: 'answers-at-once',
      wrong: 'A peer may ask for any number of answers at once.',
      file: 'connection/sealed-memory',
      find: ' || this.#answering >= MAX_ANSWERS',
      replace: '',
    },
    {
      id: 'answer-twice',
      wrong: 'A read is answered that was not asked for.',
      file: 'connection/sealed-memory',
      find: 'this.#requests.delete(number);',
      replace: '',
    },
    {
      id: 'answer-never-done',
      wrong: 'Answers that have left stay counted.',
      file: 'connection/sealed-memory',
      find: `      this.#answering--;
`,
      replace: '',
    },
    {
      id: 'read-write-only',
      wrong: 'A sealed read may lie where the peer may only write.',
      file: 'connection/sealed-memory',
      find: "data.readUInt32BE(12), 'read')",
      replace: "data.readUInt32BE(12), 'write')",
    },
    {
      id: 'failed-requests-wait',
      wrong: 'Reads that wait do not end with the connection.',
      file: 'connection/sealed-memory',
      find: `    for (const { reject } of this.#requests.values()) reject(error);
`,
      replace: '',
    },
    {
      id: 'waiting-not-woken',
      wrong: 'Reads that wait for room do not end with the connection.',
      file: 'connection/sealed-memory',
      find: `    for (const go of this.#waiting.splice(0)) go();
`,
      replace: '',
    },
    {
      id: 'memory-counter-nonce',
      wrong: 'All sealed writes have the same nonce.',
      file: 'connection/sealed-memory',
      find: 'nonce.writeBigUInt64BE(nonce.readBigUInt64BE(IV_BYTES - 8) ^ counter, IV_BYTES - 8);',
      replace: '',
    },
    {
      id: 'write-counter-not-counted',
      wrong: 'An announcement does not count up.',
      file: 'connection/sealed-memory',
      find: 'announcement.writeBigUInt64BE(counter, 0);',
      replace: 'announcement.writeBigUInt64BE(1n, 0);',
    },
    {
      id: 'requests-unbounded',
      wrong: 'There is no limit to the reads under way.',
      file: 'connection/sealed-memory',
      find: 'this.#requests.size >= MAX_REQUESTS && this.#failure === undefined',
      replace: 'false',
    },
    {
      id: 'sealed-overlap',
      wrong: 'A sealed write covers another before the peer has opened it.',
      file: 'connection/range-queue',
      find: '!(one.isShared && other.isShared)',
      replace: 'one.isShared !== other.isShared',
      judges: ['test/connection/sealed-memory'],
    },
    {
      id: 'read-of-sealed-bytes',
      wrong: 'A read does not wait for a sealed write before it.',
      file: 'connection/range-queue',
      find: '!(one.isShared && other.isShared)',
      replace: '!(one.isShared || other.isShared)',
      judges: ['test/connection/sealed-memory'],
    },
    {
      id: 'blocked-for-ever',
      wrong: 'A write that waits for its range does not end with the connection.',
      file: 'connection/sealed-memory',
      find: '    for (const transfer of [...this.#blocked.keys()]) this.withdraw(transfer, error);\n',
      replace: '',
      judges: ['test/connection/sealed-memory'],
    },
    {
      id: 'any-write-opened',
      wrong: 'A peer may say that it opened what nobody announced.',
      file: 'connection/sealed-memory',
      find: `    if (index < 0)
      throw violation(MessageFault.SEALED_MEMORY, 'it opened`,
      replace: `    if (index < -1)
      throw violation(MessageFault.SEALED_MEMORY, 'it opened`,
      judges: ['test/connection/sealed-memory'],
    },
    {
      id: 'opened-once',
      wrong: 'What was opened while the peer is being told is never told.',
      file: 'connection/sealed-memory',
      find: '      if (this.#lastOpened > told) this.#tellOpened();\n',
      replace: '',
      judges: ['test/connection/sealed-memory'],
    },
  ],
);
