// The invariant CRC that ends every RoCEv2 packet, for the packets of a UDP socket. The same rules as in
// src/roce/wire/icrc.ts, which says where they come from.
#pragma once

#include <cstddef>
#include <cstdint>

namespace queuepair {

constexpr size_t kBthBytes = 12;
constexpr size_t kIcrcBytes = 4;

// Where a packet comes from or goes to, as src/verbs/address.ts has it: words in host order, most significant
// first, IPv4 in the form ::ffff:a.b.c.d.
struct Address {
  uint32_t words[4];
  uint16_t port;

  bool IsIpv4() const { return words[0] == 0 && words[1] == 0 && words[2] == 0xffff; }
  bool Is(const Address& other) const {
    return port == other.port && words[0] == other.words[0] && words[1] == other.words[1] &&
           words[2] == other.words[2] && words[3] == other.words[3];
  }
};

// The IP and UDP headers between two addresses as the CRC sees them, all but the lengths and the identification.
class PseudoHeader {
 public:
  PseudoHeader(const Address& source, const Address& destination);

  // The register with which the CRC of a packet begins, at its BTH. It stands for the headers before, and lets the one
  // byte of the BTH that counts as ones be read as it is: `bth` is the packet's. `length` is that of the whole packet
  // without ICRC. The identification is for IPv4.
  uint32_t Start(const uint8_t* bth, size_t length, uint16_t identification);

  bool is_ipv4() const { return is_ipv4_; }

 private:
  // The register after the headers of packets of one length, with identification 0.
  struct Known {
    uint32_t length;
    uint32_t running;
  };
  static constexpr size_t kKnown = 8;

  uint32_t Compute(size_t length) const;

  bool is_ipv4_;
  uint8_t ip_length_;
  uint8_t bytes_[48];
  // By length: a flow mostly has packets of few. No packet has length 0.
  Known known_[kKnown] = {};
};

inline void StoreIcrc(uint8_t* at, uint32_t running) {
  const uint32_t icrc = ~running;
  at[0] = static_cast<uint8_t>(icrc);
  at[1] = static_cast<uint8_t>(icrc >> 8);
  at[2] = static_cast<uint8_t>(icrc >> 16);
  at[3] = static_cast<uint8_t>(icrc >> 24);
}

// How a packet was found to be right: kWrong, or by which identification. Over IPv6 it is always kExpected.
enum class Verdict { kWrong, kExpected, kSolved };

// Checks the packet [bytes, bytes + length), ICRC included. Over IPv4 the identification is not known: `likely` is tried
// first, and then the only one that would fit is computed, and written to `solved`.
Verdict VerifyIcrc(PseudoHeader& pseudo, const uint8_t* bytes, size_t length, uint16_t likely, uint16_t* solved);

// The identification of a packet of `length` bytes without ICRC whose ICRC differs by `difference` from the one that
// identification 0 would have; -1 if there is none.
int32_t SolveIdentification(uint32_t difference, size_t length);

}  // namespace queuepair
