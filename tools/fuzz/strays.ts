/**
 * Errors that reach nobody: exceptions in callbacks of the event loop, and promises that fail while no one waits for
 * them. In a program that uses the package either ends the process, so they count against the input that ran.
 */

let installed = false;
let stray: { readonly error: Error } | undefined;

/** From now on such errors are kept, where they would end this thread. */
export function watchForStrays(): void {
  if (installed) return;
  installed = true;
  const keep = (kind: string) => (cause: unknown) => {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    error.message = `${kind}: ${error.message}`;
    stray ??= { error };
  };
  process.on('uncaughtException', keep('uncaught exception'));
  process.on('unhandledRejection', keep('unhandled rejection'));
}

/** @throws the first stray error since the last call, once everything that is due has run. */
export async function throwStrays(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  const found = stray;
  stray = undefined;
  if (found !== undefined) throw found.error;
}
