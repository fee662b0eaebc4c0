/** The addresses of an attack: a few hosts of the loopback network that belong to this process alone. */
const NETWORK = `127.${100 + ((process.pid >> 8) % 100)}.${process.pid & 0xff}`;

export const HOSTS = {
  server: `${NETWORK}.1`,
  client: `${NETWORK}.2`,
  /** Where the attacker is when it cannot be somebody else. */
  stranger: `${NETWORK}.3`,
} as const;

export const ROCE_PORT = 4791;

/** Further addresses of the attacker: `number` from 0 to 199. */
export const attackerHost = (number: number): string => `${NETWORK}.${10 + number}`;
