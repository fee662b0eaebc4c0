/** Drain and disconnect, for those who know the token. It stays in this page, and goes with an order alone. */
import type { ServerSnapshot } from '../src/observe/server-snapshot.js';
import { byId, setText } from './page.js';

export type Order =
  | { readonly action: 'drain' | 'admit' }
  | { readonly action: 'disconnect'; readonly connection: number };

let isDraining = false;

/** What stands behind `#token=` in the address, as `serve --control` prints it. */
export function prepareControls(): void {
  const [, token] = /^#token=(\S+)$/.exec(location.hash) ?? [];
  if (token !== undefined) {
    tokenField().value = decodeURIComponent(token);
    history.replaceState(null, '', location.pathname);
  }
  byId('control').addEventListener('submit', (event) => {
    event.preventDefault();
    void order({ action: isDraining ? 'admit' : 'drain' });
  });
}

export function showControls({ canControl, draining }: ServerSnapshot): void {
  isDraining = draining;
  byId('control').hidden = !canControl;
  byId('draining').hidden = !draining;
  setText(byId('drain'), draining ? 'Let new clients in' : 'Refuse new clients');
}

export async function order(what: Order): Promise<void> {
  try {
    const response = await fetch('control', {
      method: 'POST',
      headers: { authorization: `Bearer ${tokenField().value}`, 'content-type': 'application/json' },
      body: JSON.stringify(what),
    });
    setText(byId('answer'), (await response.text()).trim());
  } catch {
    setText(byId('answer'), 'the server did not answer');
  }
}

const tokenField = (): HTMLInputElement => byId('token') as HTMLInputElement;
