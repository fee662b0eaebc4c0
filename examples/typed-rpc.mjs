// @ts-check
/**
 * Procedures called over messages, with types from one contract that both sides share. The tag of a message is the number of its
 * procedure; schemas check on arrival what the types promise:
 *
 *   node examples/typed-rpc.mjs          needs the package valibot
 */
import { connect, listen } from 'queuepair';
import { devCertificates } from 'queuepair/certificates';
import * as v from 'valibot';

const contract = {
  add: { tag: 1, args: v.strictTuple([v.number(), v.number()]), result: v.number() },
  find: {
    tag: 2,
    args: v.strictTuple([v.string()]),
    result: v.object({ name: v.string(), age: v.number() }),
  },
};
const FAILED = 0; // the tag of an answer that says why there is none

/** @typedef {typeof contract} Contract */
/**
 * @typedef {{
 *   [Name in keyof Contract]: (
 *     ...args: v.InferOutput<Contract[Name]['args']>
 *   ) => Promise<v.InferOutput<Contract[Name]['result']>>
 * }} Procedures
 */

const certificates = await devCertificates();

/** @type {Procedures} */
const procedures = {
  add: async (a, b) => a + b,
  find: async (name) => {
    if (name !== 'Ada') throw new Error(`nobody is called ${name}`);
    return { name, age: 36 };
  },
};
const server = await listen({ ...certificates.server, port: 0 }, async (connection) => {
  for await (const { tag, data } of connection) {
    const { id, args } = unpack(data);
    void run(tag, args)
      .then(
        (result) => connection.send(pack({ id, result }), { tag }),
        (error) => connection.send(pack({ id, reason: error.message }), { tag: FAILED }),
      )
      .catch((error) => console.error('an answer did not leave:', error.message)); // the client is gone
  }
});

const connection = await connect({ port: server.address.port, ...certificates.client });
const call = callsOver(connection); // an editor completes `call.` and knows arguments and results
console.log('2 + 3 =', await call.add(2, 3));
console.log('many at once:', (await Promise.all([1, 2, 3].map((n) => call.add(n, n)))).join(', '));
const { name, age } = await call.find('Ada');
console.log(`${name} is ${age}`);
await call.find('Bob').catch((error) => console.log('find("Bob"):', error.message));
// @ts-expect-error: a client that nobody has type checked
await call.add(2, '3').catch((error) => console.log('add(2, "3"):', error.message));

await connection.close();
await server.close();

/** @param {number} tag @param {unknown} args */
async function run(tag, args) {
  for (const [name, { tag: own, args: schema }] of Object.entries(contract)) {
    if (own === tag) return await Reflect.get(procedures, name)(...v.parse(schema, args));
  }
  throw new Error(`there is no procedure ${tag}`);
}

/**
 * Answers come in any order, so that a slow procedure keeps no other waiting: each call has a number.
 *
 * @param {import('queuepair').Connection} connection
 */
function callsOver(connection) {
  /** @type {Map<number, (answer: Promise<unknown>) => void>} */
  const waiting = new Map();
  let lastId = 0;
  void takeAnswers();
  /** @type {Record<string, (...args: unknown[]) => Promise<unknown>>} */
  const calls = {};
  for (const [name, { tag }] of Object.entries(contract)) {
    calls[name] = async (...args) => {
      const id = ++lastId;
      const answer = new Promise((resolve) => waiting.set(id, resolve));
      answer.catch(() => {}); // it may come while the call is still on its way
      await connection.send(pack({ id, args }), { tag });
      return await answer;
    };
  }
  return /** @type {Procedures} */ (calls);

  async function takeAnswers() {
    let gone = new Error('the connection has ended');
    try {
      for await (const { tag, data } of connection) {
        const { id, result, reason } = unpack(data);
        const procedure = Object.values(contract).find((procedure) => procedure.tag === tag);
        waiting.get(id)?.(
          procedure === undefined
            ? Promise.reject(new Error(reason))
            : v.parseAsync(procedure.result, result),
        );
        waiting.delete(id);
      }
    } catch (error) {
      gone = /** @type {Error} */ (error);
    }
    for (const settle of waiting.values()) settle(Promise.reject(gone)); // whoever still waits hears of it
    waiting.clear();
  }
}

/** @param {unknown} value */
function pack(value) {
  return JSON.stringify(value);
}

/** @param {Uint8Array} data */
function unpack(data) {
  return JSON.parse(Buffer.from(data).toString());
}
