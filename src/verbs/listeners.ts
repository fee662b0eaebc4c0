/** Who wants to be told of events: any number of functions, each called once an event, in the order in which they came. */
export class Listeners<Event> {
  readonly #all = new Set<(event: Event) => void>();

  /** Returns the function that removes the listener. */
  add(listener: (event: Event) => void): () => void {
    // A function of its own each time: who adds the same one twice can remove each of the two.
    const entry = (event: Event): void => listener(event);
    this.#all.add(entry);
    return () => this.#all.delete(entry);
  }

  tell(event: Event): void {
    for (const listener of this.#all) listener(event);
  }
}
