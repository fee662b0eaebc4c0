/** A process that asks for the development certificates whenever its parent says so, and tells what it got. */
import { createHash } from 'node:crypto';
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { x509Library } from '../../src/certificates/x509-library.js';

export interface ChildOrder {
  readonly dir: string;
  readonly names: string[];
  readonly nowMillis: number;
}

export interface ChildAnswer {
  readonly created: boolean;
  /** Hash of the authority and of all keys: what must be the same for everyone. */
  readonly set: string;
  readonly error?: string;
}

process.on('message', (order: ChildOrder) => {
  void answer(order).then((result) => process.send?.(result));
});
x509Library();
process.send?.('loaded');

async function answer({ dir, names, nowMillis }: ChildOrder): Promise<ChildAnswer> {
  try {
    const { caPem, server, client, created } = await loadOrCreateDevCertificates(
      dir,
      names,
      new Date(nowMillis),
    );
    const set = createHash('sha256')
      .update(caPem + server.keyPem + client.keyPem)
      .digest('hex');
    return { created, set };
  } catch (error) {
    return { created: false, set: '', error: String(error) };
  }
}
