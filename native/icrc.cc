#include "icrc.h"

#include <cstring>

#include "crc32.h"

namespace queuepair {
namespace {

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kUdpBytes = 8;
constexpr uint8_t kProtocolUdp = 17;
constexpr uint8_t kDontFragment = 0x40;
// The raw register after the 8 bytes of ones that stand for the local routing header of InfiniBand.
constexpr uint32_t kStart = 0xdebb20e3;
// The largest pseudo header with the largest header of a packet behind it.
constexpr size_t kMaxHeaderBytes = 64;

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

uint32_t PseudoHeader::Start(const uint8_t* header, size_t header_length, size_t length,
                             uint16_t identification) const {
  uint8_t scratch[sizeof(bytes_) + kMaxHeaderBytes];
  const size_t udp_length = kUdpBytes + length + kIcrcBytes;
  std::memcpy(scratch, bytes_, sizeof(bytes_));
  if (is_ipv4_) {
    Store16(scratch + 2, kIpv4Bytes + udp_length);
    Store16(scratch + 4, identification);
  } else {
    Store16(scratch + 4, udp_length);
  }
  Store16(scratch + ip_length_ + 4, udp_length);
  const size_t bth_at = ip_length_ + kUdpBytes;
  std::memcpy(scratch + bth_at, header, header_length);
  scratch[bth_at + 4] = 0xff;
  return Crc32(kStart, scratch, bth_at + header_length);
}

Verdict VerifyIcrc(const PseudoHeader& pseudo, const uint8_t* bytes, size_t length, uint16_t likely) {
  if (length < kBthBytes + kIcrcBytes) return Verdict::kWrong;
  const size_t covered = length - kIcrcBytes;
  const uint32_t found = LoadIcrc(bytes + covered);
  // The header part is as short as can be: which extension headers follow is not this function's business.
  const uint32_t start = pseudo.Start(bytes, kBthBytes, covered, likely);
  const uint32_t computed = ~Crc32(start, bytes + kBthBytes, covered - kBthBytes);
  if (found == computed) return Verdict::kExpected;
  if (!pseudo.is_ipv4()) return Verdict::kWrong;
  // What is solved for is the exclusive or of `likely` and the real one, since everything here is linear.
  return SolveIdentification(found ^ computed, covered) < 0 ? Verdict::kWrong : Verdict::kSolved;
}

}  // namespace queuepair
