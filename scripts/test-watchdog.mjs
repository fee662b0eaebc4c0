/**
 * Loaded into every test file by scripts/test.mjs: ends a file that takes too long, and says what kept it alive.
 *
 * Node's own limit does not do that: Node 20 and 22 end the file without a reason, and Node 24 waits forever for a
 * file whose tests are done while a socket or a timer is left open.
 */
const LIMIT_MILLIS = Number(process.env.QUEUEPAIR_TEST_FILE_LIMIT_MILLIS ?? 175_000);

// The runner itself loads this too, and may take as long as all files together.
if (process.env.NODE_TEST_CONTEXT !== undefined) {
  const end = () => {
    const resources = process.getActiveResourcesInfo().join(', ');
    process.stderr.write(
      `${process.argv[1]} still runs after ${LIMIT_MILLIS / 1_000} s; kept alive by: ${resources}\n`,
    );
    process.exit(1);
  };
  // Not counted as a reason to stay alive.
  setTimeout(end, LIMIT_MILLIS).unref();
}
