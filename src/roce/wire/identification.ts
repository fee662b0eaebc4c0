/**
 * Finds the IPv4 identification that a received packet must have had for its ICRC to be right.
 *
 * A CRC is a remainder modulo a polynomial P over GF(2). Changing the identification from 0 to `id` therefore changes
 * it by id(x) * x^(32+8n) mod P, where n is the number of bytes that follow the identification. Since x has an inverse
 * modulo P, the 16 changes that single bits make are independent at every length, and there is at most one solution:
 * the difference of the two ICRCs times x^-(32+8n), which is one only if its degree is below 16. Both multiplications
 * take the same time for every length, so there is nothing to cache, and no cache that a sender could thrash.
 *
 * Polynomials are numbers as in crc32.ts: bit i of the number is the coefficient of x^(31-i).
 */
import { CRC32_POLYNOMIAL } from './crc32.js';
import { IPV4_LENGTH, UDP_LENGTH } from './ip.js';

const ONE = 0x80000000 | 0;
/** From behind the identification to the end of the UDP header, and 4 for the x^32 of the CRC itself. */
const BYTES_BEFORE_BTH = IPV4_LENGTH - 6 + UDP_LENGTH + 4;

/** Undoes `timesX`: the lowest bit of P, at bit 31, tells whether it subtracted P. */
const divideByX = (a: number): number => (a < 0 ? ((a ^ CRC32_POLYNOMIAL) << 1) | 1 : a << 1);

const timesX = (a: number): number => (a >>> 1) ^ (CRC32_POLYNOMIAL & -(a & 1));

function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let rest = a; rest !== 0; rest <<= 1) {
    product ^= shifted & (rest >> 31);
    shifted = timesX(shifted);
  }
  return product;
}

/** Item i is `base` to the power of i. */
function powers(base: number): Int32Array {
  const result = new Int32Array(256).fill(ONE);
  for (let i = 1; i < result.length; i += 1) result[i] = multiply(result[i - 1] as number, base);
  return result;
}

/** x^-8: back over one byte. */
const BACK_ONE = [0, 1, 2, 3, 4, 5, 6, 7].reduce(divideByX, ONE);
const BY_LOW_BYTE = powers(BACK_ONE);
const BY_HIGH_BYTE = powers(multiply(BY_LOW_BYTE[255] as number, BACK_ONE));

/**
 * The identification of a packet of `length` bytes (UDP payload without ICRC) whose ICRC differs by `difference`
 * (exclusive or) from the ICRC that identification 0 would have; -1 if there is none.
 */
export function solveIdentification(difference: number, length: number): number {
  const bytes = length + BYTES_BEFORE_BTH;
  if (bytes > 0xffff) return -1;
  const inverse = multiply(BY_HIGH_BYTE[bytes >>> 8] as number, BY_LOW_BYTE[bytes & 255] as number);
  const solution = multiply(inverse, difference | 0);
  if ((solution & 0xffff) !== 0) return -1;
  // The field's first byte is its upper one, and each byte enters the CRC lowest bit first.
  return (((solution >>> 16) & 255) << 8) | (solution >>> 24);
}
