/** GIDs as the stock tools write them: 32 hexadecimal digits, in the order of the wire. */

export function gidToHex(gid: string): string {
  const [, ipv4] = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(gid) ?? [];
  if (ipv4 !== undefined)
    return `${'0'.repeat(20)}ffff${Buffer.from(ipv4.split('.').map(Number)).toString('hex')}`;
  const [left = '', right] = gid.split('::');
  const groups = (part: string | undefined): string[] => (part ?? '').split(':').filter(Boolean);
  const missing = 8 - groups(left).length - groups(right).length;
  return [...groups(left), ...Array.from({ length: missing }, () => '0'), ...groups(right)]
    .map((group) => group.padStart(4, '0'))
    .join('');
}

export function gidFromHex(hex: string): string {
  if (hex.startsWith(`${'0'.repeat(20)}ffff`))
    return `::ffff:${[...Buffer.from(hex.slice(24), 'hex')].join('.')}`;
  return (hex.match(/.{4}/g) ?? []).join(':');
}
