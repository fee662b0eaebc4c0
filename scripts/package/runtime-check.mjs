/**
 * Goes before everything else into each file of the package that programs import: says in one sentence that the runtime is too old.
 * It is heard where the rest links: nothing may be imported by name from Node.js that is not in Node.js 18.
 */
const NEEDED = [20, 19];

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  throw new Error(
    `queuepair needs Node.js ${NEEDED.join('.')} or newer, and this is ${process.versions.node}`,
  );
}
