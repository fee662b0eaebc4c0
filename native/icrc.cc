#include "icrc.h"

#include <array>
#include <cstring>

#include "crc32.h"
#include "polynomial.h"

namespace queuepair {
namespace {

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kUdpBytes = 8;
constexpr uint8_t kProtocolUdp = 17;
constexpr uint8_t kDontFragment = 0x40;
// The raw register after the 8 bytes of ones that stand for the local routing header of InfiniBand.
constexpr uint32_t kStart = 0xdebb20e3;
// The byte of the BTH with the congestion marks, which counts as ones.
constexpr size_t kMaskedByte = 4;

// Item d: by what the register before the BTH has to change so that after four more bytes it has changed by d. That is
// how the masked byte, the fifth, is corrected by d without touching the packet.
using Corrections = std::array<uint32_t, 256>;

constexpr Corrections BuildCorrections() {
  Corrections corrections{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t reg = byte;
    for (size_t bit = 0; bit < 8 * kMaskedByte; bit++) reg = DivideByX(reg);
    corrections[byte] = reg;
  }
  return corrections;
}

constexpr Corrections kCorrections = BuildCorrections();

// By what each byte of the IPv4 identification changes the register before the BTH: everything here is linear.
struct IdentificationEffects {
  std::array<uint32_t, 256> high;
  std::array<uint32_t, 256> low;
};

constexpr IdentificationEffects BuildIdentificationEffects() {
  // From behind the identification to the end of the UDP header.
  constexpr size_t kBytesBehind = kIpv4Bytes - 6 + kUdpBytes;
  IdentificationEffects effects{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t reg = byte;
    for (size_t bit = 0; bit < 8 * (kBytesBehind + 1); bit++) reg = TimesX(reg);
    effects.low[byte] = reg;
    for (size_t bit = 0; bit < 8; bit++) reg = TimesX(reg);
    effects.high[byte] = reg;
  }
  return effects;
}

constexpr IdentificationEffects kIdentificationEffects = BuildIdentificationEffects();

uint32_t EffectOf(uint16_t identification) {
  return kIdentificationEffects.high[identification >> 8] ^ kIdentificationEffects.low[identification & 255];
}

void Store16(uint8_t* at, size_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

void Store32(uint8_t* at, uint32_t value) {
  Store16(at, value >> 16);
  Store16(at + 2, value);
}

uint32_t LoadIcrc(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8 | static_cast<uint32_t>(at[2]) << 16 |
         static_cast<uint32_t>(at[3]) << 24;
}

}  // namespace

PseudoHeader::PseudoHeader(const Address& source, const Address& destination)
    : is_ipv4_(destination.IsIpv4()), ip_length_(is_ipv4_ ? kIpv4Bytes : kIpv6Bytes) {
  std::memset(bytes_, 0xff, sizeof(bytes_));
  if (is_ipv4_) {
    bytes_[0] = 0x45;
    bytes_[6] = kDontFragment;
    bytes_[7] = 0;
    bytes_[9] = kProtocolUdp;
    Store32(bytes_ + 12, source.words[3]);
    Store32(bytes_ + 16, destination.words[3]);
  } else {
    bytes_[0] = 0x6f;
    bytes_[6] = kProtocolUdp;
    for (size_t i = 0; i < 4; i++) {
      Store32(bytes_ + 8 + 4 * i, source.words[i]);
      Store32(bytes_ + 24 + 4 * i, destination.words[i]);
    }
  }
  Store16(bytes_ + ip_length_, source.port);
  Store16(bytes_ + ip_length_ + 2, destination.port);
}

uint32_t PseudoHeader::Start(const uint8_t* bth, size_t length, uint16_t identification) {
  Known& known = known_[length / 4 % kKnown];
  if (known.length != length) known = {static_cast<uint32_t>(length), Compute(length)};
  const uint32_t effect = is_ipv4_ ? EffectOf(identification) : 0;
  return known.running ^ effect ^ kCorrections[bth[kMaskedByte] ^ 0xff];
}

uint32_t PseudoHeader::Compute(size_t length) const {
  uint8_t headers[sizeof(bytes_)];
  const size_t udp_length = kUdpBytes + length + kIcrcBytes;
  std::memcpy(headers, bytes_, sizeof(bytes_));
  if (is_ipv4_) {
    Store16(headers + 2, kIpv4Bytes + udp_length);
    Store16(headers + 4, 0);
  } else {
    Store16(headers + 4, udp_length);
  }
  Store16(headers + ip_length_ + 4, udp_length);
  return Crc32(kStart, headers, ip_length_ + kUdpBytes);
}

Verdict VerifyIcrc(PseudoHeader& pseudo, const uint8_t* bytes, size_t length, uint16_t likely, uint16_t* solved) {
  if (length < kBthBytes + kIcrcBytes) return Verdict::kWrong;
  const size_t covered = length - kIcrcBytes;
  const uint32_t found = LoadIcrc(bytes + covered);
  const uint32_t computed = ~Crc32(pseudo.Start(bytes, covered, likely), bytes, covered);
  if (found == computed) return Verdict::kExpected;
  if (!pseudo.is_ipv4()) return Verdict::kWrong;
  // What is solved for is the exclusive or of `likely` and the real one, since everything here is linear.
  const int32_t difference = SolveIdentification(found ^ computed, covered);
  if (difference < 0) return Verdict::kWrong;
  *solved = static_cast<uint16_t>(likely ^ difference);
  return Verdict::kSolved;
}

}  // namespace queuepair
