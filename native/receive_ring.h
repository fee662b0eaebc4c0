// Takes what has arrived at a socket into memory that TypeScript reads in place, and describes each datagram in a
// record of integers: see `RecordField`. Coalesced bursts are split here, and every ICRC is checked.
//
// Invariant: every datagram that a record describes lies inside the ring.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "counters.h"
#include "icrc.h"

namespace queuepair {

// The same order as in src/native/udp-addon.ts.
enum RecordField : size_t {
  kOffset,
  kLength,
  kSourceWord0,
  kSourceWord1,
  kSourceWord2,
  kSourceWord3,
  kSourcePort,
  kIsVerified,
  kTrafficClass,
  kHopLimit,
  kRecordInts,
};

// The largest buffer that a coalesced burst can be, and what one may hold.
constexpr size_t kSlotBytes = 65536;
constexpr size_t kMaxDatagramsPerSlot = 128;

class ReceiveRing {
 public:
  // `slots` * kSlotBytes bytes and `slots` * kMaxDatagramsPerSlot records, which belong to JavaScript.
  ReceiveRing(uint8_t* bytes, int32_t* records, size_t slots, const Address& own, Counters* counters);

  // Takes what is there, without waiting; returns the number of datagrams.
  int32_t Receive(int fd);

 private:
  struct Slot;

  size_t Split(size_t index, size_t record);
  void ReadControl(const msghdr& header, size_t* segment_bytes, int* traffic_class, int* hop_limit);
  const PseudoHeader& PseudoHeaderFrom(const Address& source);

  uint8_t* const bytes_;
  int32_t* const records_;
  const Address own_;
  Counters* const counters_;
  Address last_source_;
  PseudoHeader pseudo_;
  std::vector<mmsghdr> headers_;
  std::vector<iovec> pieces_;
  std::vector<sockaddr_storage> sources_;
  struct alignas(cmsghdr) ControlBuffer {
    uint8_t bytes[4 * CMSG_SPACE(sizeof(int))];
  };
  std::vector<ControlBuffer> controls_;
  // Headers whose lengths the kernel has changed: the first so many.
  size_t used_;
};

}  // namespace queuepair
