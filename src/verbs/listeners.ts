/**
 * Who wants to be told of events: any number of functions, each called once an event, in the order in which they came.
 *
 * Invariant: a listener that throws takes nothing with it. What it threw is reported as an exception that nobody catches.
 */
export class Listeners<Event> {
  /** A chain in the order in which they came: most objects have one or none, for which a set is large. */
  #first: Entry<Event> | null = null;

  /** Returns the function that removes the listener. */
  add(listener: (event: Event) => void): () => void {
    // One each time: who adds the same listener twice can remove each of the two.
    const entry: Entry<Event> = { listener, next: null };
    const last = this.#last;
    if (last === null) this.#first = entry;
    else last.next = entry;
    return () => this.#remove(entry);
  }

  tell(event: Event): void {
    for (let entry = this.#first; entry !== null; entry = entry.next)
      if (entry.listener !== null) tell(entry.listener, event);
  }

  get #last(): Entry<Event> | null {
    let last = this.#first;
    while (last !== null && last.next !== null) last = last.next;
    return last;
  }

  /** Whoever is at it while an event is told goes on behind it. */
  #remove(entry: Entry<Event>): void {
    entry.listener = null;
    if (this.#first === entry) {
      this.#first = entry.next;
      return;
    }
    for (let before = this.#first; before !== null; before = before.next)
      if (before.next === entry) before.next = entry.next;
  }
}

interface Entry<Event> {
  /** `null`: it was removed. */
  listener: ((event: Event) => void) | null;
  next: Entry<Event> | null;
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
