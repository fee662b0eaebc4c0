// Finds the IPv4 identification that a received packet must have had for its ICRC to be right, without searching: see
// src/roce/wire/identification.ts for why there is at most one and how it is computed.
#include <array>

#include "icrc.h"
#include "polynomial.h"

namespace queuepair {
namespace {

// From behind the identification to the end of the UDP header, and 4 for the x^32 of the CRC itself.
constexpr size_t kBytesBeforeBth = 20 - 6 + 8 + 4;

constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (; a != 0; a <<= 1, b = TimesX(b)) product ^= (a & kOne) != 0 ? b : 0;
  return product;
}

constexpr uint32_t BackOneByte() {
  uint32_t value = kOne;
  for (int i = 0; i < 8; i++) value = DivideByX(value);
  return value;
}

using Powers = std::array<uint32_t, 256>;

// Item i is `base` to the power of i.
constexpr Powers PowersOf(uint32_t base) {
  Powers powers{};
  powers[0] = kOne;
  for (size_t i = 1; i < powers.size(); i++) powers[i] = Multiply(powers[i - 1], base);
  return powers;
}

constexpr Powers kByLowByte = PowersOf(BackOneByte());
constexpr Powers kByHighByte = PowersOf(Multiply(kByLowByte[255], BackOneByte()));

}  // namespace

int32_t SolveIdentification(uint32_t difference, size_t length) {
  const size_t bytes = length + kBytesBeforeBth;
  if (bytes > 0xffff) return -1;
  const uint32_t inverse = Multiply(kByHighByte[bytes >> 8], kByLowByte[bytes & 255]);
  const uint32_t solution = Multiply(inverse, difference);
  if ((solution & 0xffff) != 0) return -1;
  // The field's first byte is its upper one, and each byte enters the CRC lowest bit first.
  return static_cast<int32_t>(((solution >> 16) & 255) << 8 | solution >> 24);
}

}  // namespace queuepair
