/** A host and a port as one text that reads back as the same two: an IPv6 address goes in brackets. */
export const hostPort = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
