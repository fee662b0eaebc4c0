/** Code with a fault that nobody hits by chance: six questions in a row, each answered by one byte in 32. */
export function open(bytes: Uint8Array): string {
  let opened = '';
  if ((bytes[0] as number) >> 3 === 21) {
    opened += 'f';
    if ((bytes[1] as number) >> 3 === 3) {
      opened += 'u';
      if ((bytes[2] as number) >> 3 === 29) {
        opened += 'z';
        if ((bytes[3] as number) >> 3 === 11) {
          opened += 'z';
          if ((bytes[4] as number) >> 3 === 17) {
            opened += 'e';
            if ((bytes[5] as number) >> 3 === 8) throw new TypeError('the lock is open');
          }
        }
      }
    }
  }
  return opened;
}
