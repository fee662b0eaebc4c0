/** A reporter for `node --test-reporter`: one line for each test that failed, and whether only its time was over. */
import type { TestEvent } from 'node:test/reporters';

interface TestError extends Error {
  readonly failureType?: string;
}

const LATE = new Set(['testTimeoutFailure', 'cancelledByParent', 'testAborted']);
/** The test around one that failed. */
const REPEATED = 'subtestsFailed';

export default async function* failures(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type !== 'test:fail' || event.data.todo !== undefined) continue;
    const error = event.data.details.error as TestError;
    if (error.failureType === REPEATED) continue;
    const word = LATE.has(error.failureType ?? '') ? 'timed out' : 'noticed';
    const cause = error.cause instanceof Error ? error.cause.message : error.message;
    yield `${word}: ${event.data.name}: ${cause.split('\n')[0]}\n`;
  }
}
