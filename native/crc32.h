// CRC-32 as in zlib and Ethernet, on raw registers: seeding with ones and the final inversion are the caller's.
//
// Invariant: every implementation gives the same register for the same input, in any split of it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace queuepair {

// By tables, 16 bytes a step. Runs everywhere.
uint32_t Crc32Portable(uint32_t crc, const uint8_t* bytes, size_t length);

// By carry-less multiplication. Only to be called if Crc32FoldingAvailable.
uint32_t Crc32Folding(uint32_t crc, const uint8_t* bytes, size_t length);
bool Crc32FoldingAvailable();

// By carry-less multiplication in registers of 256 and of 512 bits. Only to be called if available.
uint32_t Crc32Wide256(uint32_t crc, const uint8_t* bytes, size_t length);
bool Crc32Wide256Available();
uint32_t Crc32Wide512(uint32_t crc, const uint8_t* bytes, size_t length);
bool Crc32Wide512Available();
// Writes the bytes to `to` on the way, whose register it returns: each byte is read once, whoever may be changing it.
uint32_t Crc32Copy512(uint32_t crc, uint8_t* to, const uint8_t* bytes, size_t length);

// The fastest that this processor has.
uint32_t Crc32(uint32_t crc, const uint8_t* bytes, size_t length);
// Likewise, of the copy that it makes at `to`.
uint32_t Crc32Copy(uint32_t crc, uint8_t* to, const uint8_t* bytes, size_t length);

}  // namespace queuepair
