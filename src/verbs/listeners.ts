/**
 * Who wants to be told of events: any number of functions, each called once an event, in the order in which they came.
 *
 * Invariant: a listener that throws takes nothing with it. What it threw is reported as an exception that nobody catches.
 */
export class Listeners<Event> {
  /** Made with the first: most objects have none. */
  #all: Set<(event: Event) => void> | null = null;

  /** Returns the function that removes the listener. */
  add(listener: (event: Event) => void): () => void {
    // A function of its own each time: who adds the same one twice can remove each of the two.
    const entry = (event: Event): void => listener(event);
    this.#all ??= new Set();
    this.#all.add(entry);
    return () => this.#all?.delete(entry);
  }

  tell(event: Event): void {
    if (this.#all !== null) for (const listener of this.#all) tell(listener, event);
  }
}

/**
 * Has an emitter tell its listeners, and returns whether there were any. As above: what one of them throws reaches neither the caller
 * nor anybody else whom it serves.
 */
export function announce(emit: () => boolean): boolean {
  try {
    return emit();
  } catch (error) {
    void Promise.reject(error);
    return true;
  }
}

/** Calls one listener; neither the caller nor the next event notices that it throws. */
export function tell<Event>(listener: (event: Event) => void, event: Event): void {
  try {
    listener(event);
  } catch (error) {
    // Nobody will handle it, so that the process reports it like any exception that nobody catches.
    void Promise.reject(error);
  }
}
