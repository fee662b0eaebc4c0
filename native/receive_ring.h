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
#include "ring_hub.h"

namespace queuepair {

// The same order as in src/native/udp-addon.ts.
enum RecordField : size_t {
  kOffset,
  kLength,
  kIsVerified,
  kTrafficClass,
  kHopLimit,
  kSourceNumber,
  kSourceWord0,
  kSourceWord1,
  kSourceWord2,
  kSourceWord3,
  kSourcePort,
  kRecordInts,
};

// The largest buffer that a coalesced burst can be, and what one may hold.
constexpr size_t kSlotBytes = 65536;
constexpr size_t kMaxDatagramsPerSlot = 128;
// A port with rings has at least so many.
constexpr size_t kRingSlots = 4;

class ReceiveRing {
 public:
  // `slots` * kSlotBytes bytes and `slots` * kMaxDatagramsPerSlot records, which belong to JavaScript.
  ReceiveRing(uint8_t* bytes, int32_t* records, size_t slots, const Address& own, Counters* counters);

  // Takes what is there, without waiting; returns the number of datagrams. Asks for as many slots as there is use for:
  // the look behind the last datagram is not free.
  int32_t Receive(int fd);
  // From now on datagrams that prove who sends are the hub's.
  void UseRings(RingHub* hub) { hub_ = hub; }
  // As `Receive`, from the rings, which carry what their writers' addresses send. What the sockets have from the time before
  // a ring was there comes first; `peer_fd` -1 = there is one.
  int32_t ReceiveFrom(RingHub& hub, int fd, int peer_fd);
  // Whether there may be more than `Receive` took.
  bool may_have_more() const { return used_ > 0 && used_ == asked_; }

 private:
  // What belongs to one slot, side by side.
  struct Slot {
    iovec piece;
    alignas(cmsghdr) uint8_t control[4 * CMSG_SPACE(sizeof(int))];
    sockaddr_storage source;
  };

  void Adapt();
  void ResetLengths(size_t slots);
  size_t Split(size_t index, size_t record);
  size_t TakeFrom(InboundRing& ring, size_t limit);
  void ReadControl(const msghdr& header, size_t* segment_bytes, int* traffic_class, int* hop_limit);
  PseudoHeader& PseudoHeaderFrom(const Address& source);

  uint8_t* const bytes_;
  int32_t* const records_;
  const Address own_;
  Counters* const counters_;
  Address last_source_;
  // Changes with `last_source_`.
  int32_t source_number_ = 1;
  PseudoHeader pseudo_;
  // What the next buffer from `last_source_` is expected to begin with.
  uint16_t next_identification_ = 0;
  std::vector<mmsghdr> headers_;
  std::vector<Slot> slots_;
  RingHub* hub_ = nullptr;
  // The ring that has the first turn.
  size_t turn_ = 0;
  // Slots that the last call was about, and those that it filled, whose headers' lengths the kernel has changed.
  size_t asked_ = 1;
  size_t used_ = 0;
  // Slots that the next call is about.
  size_t wanted_ = 1;
  // Whether the last call filled all of its slots, and how many since did not, empty ones aside.
  bool was_full_ = false;
  int partial_calls_ = 0;
};

}  // namespace queuepair
