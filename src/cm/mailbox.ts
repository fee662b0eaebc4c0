/** Events of a meeting in their order: first taken one by one, later handed to whoever owns the connection. */

export class Mailbox<Event> {
  #events: Event[] = [];
  #waiter: ((event: Event) => void) | null = null;
  #owner: ((event: Event) => void) | null = null;

  readonly push = (event: Event): void => {
    if (this.#owner !== null) this.#owner(event);
    else if (this.#waiter !== null) this.#resolve(this.#waiter, event);
    else this.#events.push(event);
  };

  /** One at a time. */
  next(): Promise<Event> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve(event);
    return new Promise((resolve) => {
      this.#waiter = resolve;
    });
  }

  /** From now on every event goes to `owner`, those that wait first. */
  handTo(owner: (event: Event) => void): void {
    this.#owner = owner;
    for (const event of this.#events.splice(0)) owner(event);
  }

  #resolve(waiter: (event: Event) => void, event: Event): void {
    this.#waiter = null;
    waiter(event);
  }
}
