// CRC-32 by tables, and the choice among the ways that there are.
#include "crc32.h"

#include <array>
#include <cstring>

#include "polynomial.h"

namespace queuepair {
namespace {

constexpr size_t kStep = 16;

using Tables = std::array<std::array<uint32_t, 256>, kStep>;

// Row k, column b: the register after byte b and k zero bytes.
constexpr Tables BuildTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t reg = byte;
    for (int bit = 0; bit < 8; bit++) reg = TimesX(reg);
    tables[0][byte] = reg;
  }
  for (size_t row = 1; row < kStep; row++) {
    for (size_t byte = 0; byte < 256; byte++) {
      const uint32_t before = tables[row - 1][byte];
      tables[row][byte] = (before >> 8) ^ tables[0][before & 255];
    }
  }
  return tables;
}

constexpr Tables kTables = BuildTables();

inline uint32_t LookUp(uint32_t word, size_t row) {
  return kTables[row + 3][word & 255] ^ kTables[row + 2][(word >> 8) & 255] ^
         kTables[row + 1][(word >> 16) & 255] ^ kTables[row][word >> 24];
}

inline uint32_t LoadLittleEndian(const uint8_t* bytes) {
  return static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8 |
         static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
}

}  // namespace

uint32_t Crc32Portable(uint32_t crc, const uint8_t* bytes, size_t length) {
  for (; length >= kStep; bytes += kStep, length -= kStep) {
    const uint32_t first = LoadLittleEndian(bytes) ^ crc;
    crc = LookUp(first, 12) ^ LookUp(LoadLittleEndian(bytes + 4), 8) ^ LookUp(LoadLittleEndian(bytes + 8), 4) ^
          LookUp(LoadLittleEndian(bytes + 12), 0);
  }
  for (; length >= 4; bytes += 4, length -= 4) crc = LookUp(LoadLittleEndian(bytes) ^ crc, 0);
  for (; length > 0; bytes++, length--) crc = (crc >> 8) ^ kTables[0][(crc ^ *bytes) & 255];
  return crc;
}

namespace {

using Way = uint32_t (*)(uint32_t, const uint8_t*, size_t);

Way Choose() {
  if (Crc32Wide512Available()) return Crc32Wide512;
  if (Crc32Wide256Available()) return Crc32Wide256;
  return Crc32FoldingAvailable() ? Crc32Folding : Crc32Portable;
}

const Way fastest = Choose();

}  // namespace

uint32_t Crc32(uint32_t crc, const uint8_t* bytes, size_t length) { return fastest(crc, bytes, length); }

uint32_t Crc32Copy(uint32_t crc, uint8_t* to, const uint8_t* bytes, size_t length) {
  if (fastest == Crc32Wide512) return Crc32Copy512(crc, to, bytes, length);
  std::memcpy(to, bytes, length);
  return fastest(crc, to, length);
}

}  // namespace queuepair
