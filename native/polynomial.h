// The arithmetic behind CRC-32, where it is not about speed: polynomials over GF(2) as numbers, bit i the coefficient of
// x^(31-i), modulo the polynomial of the CRC.
#pragma once

#include <cstdint>

namespace queuepair {

constexpr uint32_t kPolynomial = 0xedb88320;
constexpr uint32_t kOne = 0x80000000;

constexpr uint32_t TimesX(uint32_t a) { return (a >> 1) ^ ((a & 1) != 0 ? kPolynomial : 0); }

// Undoes TimesX: the highest bit of the polynomial tells whether it was subtracted.
constexpr uint32_t DivideByX(uint32_t a) { return (a & kOne) != 0 ? ((a ^ kPolynomial) << 1) | 1 : a << 1; }

}  // namespace queuepair
