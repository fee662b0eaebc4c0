#include "receive_ring.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "system_calls.h"
#include "udp_socket.h"

namespace queuepair {
namespace {

constexpr int kUdpGro = 104;
constexpr int kDefaultHopLimit = 64;
// After so many calls that fill fewer slots than they asked for, less is asked for.
constexpr int kMaxPartialCalls = 16;
// What is taken from a ring at once: it stays in the cache of this processor until it is read.
constexpr size_t kRingPackets = 32;
constexpr size_t kPlaceBytes = (kRingPacketBytes + 63) & ~size_t{63};
static_assert(kRingPackets * kPlaceBytes <= kRingSlots * kSlotBytes && kRingPackets <= kMaxDatagramsPerSlot);

int ReadInt(const cmsghdr* control) {
  // IP_TOS comes as one byte, the rest as int.
  if (control->cmsg_len < CMSG_LEN(sizeof(int))) return *CMSG_DATA(control);
  int value;
  std::memcpy(&value, CMSG_DATA(control), sizeof(value));
  return value;
}

}  // namespace

ReceiveRing::ReceiveRing(uint8_t* bytes, int32_t* records, size_t slots, const Address& own, Counters* counters)
    : bytes_(bytes),
      records_(records),
      own_(own),
      counters_(counters),
      last_source_(own),
      pseudo_(own, own),
      headers_(slots),
      slots_(slots) {
  for (size_t i = 0; i < slots; i++) {
    Slot& slot = slots_[i];
    slot.piece = {bytes_ + i * kSlotBytes, kSlotBytes};
    msghdr& header = headers_[i].msg_hdr;
    header.msg_name = &slot.source;
    header.msg_iov = &slot.piece;
    header.msg_iovlen = 1;
    header.msg_control = slot.control;
  }
  ResetLengths(slots);
}

int32_t ReceiveRing::Receive(int fd) {
  ResetLengths(used_);
  used_ = 0;
  asked_ = wanted_;
  int received = 1;
  if (asked_ == 1) {
    const ssize_t length = ReceiveMessage(fd, &headers_[0].msg_hdr);
    if (length < 0) received = -1;
    else headers_[0].msg_len = static_cast<unsigned>(length);
  } else {
    received = ReceiveMessages(fd, headers_.data(), asked_);
  }
  if (received <= 0) {
    was_full_ = false;
    if (received < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ECONNREFUSED) counters_->receive_errors[errno]++;
    return 0;
  }
  used_ = static_cast<size_t>(received);
  Adapt();
  size_t records = 0;
  for (size_t i = 0; i < used_; i++) records = Split(i, records);
  counters_->receives += static_cast<uint64_t>(received);
  counters_->received_datagrams += records;
  return static_cast<int32_t>(records);
}

int32_t ReceiveRing::ReceiveFrom(RingHub& hub, int fd, int peer_fd) {
  const size_t rings = hub.inbound().size();
  for (size_t i = 0; i < rings; i++) {
    turn_ = turn_ + 1 < rings ? turn_ + 1 : 0;
    InboundRing& ring = *hub.inbound()[turn_];
    if (!ring.reader.HasNews()) continue;
    if (!ring.is_started) {
      int32_t count = Receive(fd);
      if (count == 0 && peer_fd >= 0) count = Receive(peer_fd);
      if (count > 0) return count;
      ring.is_started = true;
    }
    ResetLengths(used_);
    used_ = 0;
    const size_t taken = TakeFrom(ring, kRingPackets);
    if (ring.reader.has_fault() || ring.has_ended) hub.RemoveSpent();
    if (taken > 0) return static_cast<int32_t>(taken);
    return 0;
  }
  return 0;
}

// Copies up to `limit` packets into the memory of the slots, as if they had come from the ring's owner by UDP.
size_t ReceiveRing::TakeFrom(InboundRing& ring, size_t limit) {
  size_t taken = 0;
  size_t offset = 0;
  RingPacket packet;
  ring.reader.Begin();
  while (taken < limit && ring.reader.Take(bytes_ + offset, &packet)) {
    int32_t* const fields = records_ + taken * kRecordInts;
    fields[kOffset] = static_cast<int32_t>(offset);
    fields[kLength] = static_cast<int32_t>(packet.length);
    fields[kIsVerified] = 1;
    fields[kTrafficClass] = packet.traffic_class;
    fields[kHopLimit] = packet.hop_limit;
    // Never one of those that the socket's sources have.
    fields[kSourceNumber] = -ring.number;
    for (size_t i = 0; i < 4; i++) fields[kSourceWord0 + i] = static_cast<int32_t>(ring.from.words[i]);
    fields[kSourcePort] = ring.from.port;
    offset += (packet.length + 63) & ~size_t{63};
    taken++;
  }
  ring.reader.End();
  counters_->ring_received_packets += taken;
  return taken;
}

// Decides what the next call asks for: more when something waited behind a full call.
void ReceiveRing::Adapt() {
  if (was_full_) wanted_ = std::min(2 * asked_, headers_.size());
  was_full_ = used_ == asked_;
  partial_calls_ = was_full_ ? 0 : partial_calls_ + 1;
  if (partial_calls_ < kMaxPartialCalls) return;
  wanted_ = used_;
  partial_calls_ = 0;
}

// The kernel writes the lengths of what it filled in, and only those.
void ReceiveRing::ResetLengths(size_t slots) {
  for (size_t i = 0; i < slots; i++) {
    msghdr& header = headers_[i].msg_hdr;
    header.msg_namelen = sizeof(sockaddr_storage);
    header.msg_controllen = sizeof(Slot::control);
  }
}

// Describes the datagrams in a slot, from record `record` on; returns the next free one.
size_t ReceiveRing::Split(size_t index, size_t record) {
  const msghdr& header = headers_[index].msg_hdr;
  const Address source = FromSockaddr(slots_[index].source);
  size_t left = std::min<size_t>(headers_[index].msg_len, kSlotBytes);
  size_t segment_bytes = 0;
  int traffic_class = 0;
  int hop_limit = kDefaultHopLimit;
  ReadControl(header, &segment_bytes, &traffic_class, &hop_limit);
  if (segment_bytes == 0) segment_bytes = left;
  PseudoHeader& pseudo = PseudoHeaderFrom(source);
  uint16_t first = next_identification_;
  size_t offset = index * kSlotBytes;
  for (uint16_t place = 0; place < kMaxDatagramsPerSlot; place++) {
    const size_t length = std::min(left, segment_bytes);
    if (hub_ != nullptr && hub_->TakeProof(source, bytes_ + offset, length)) {
      left -= length;
      offset += length;
      if (left == 0) return record;
      continue;
    }
    uint16_t solved;
    const auto likely = static_cast<uint16_t>(first + place);
    const Verdict verdict = VerifyIcrc(pseudo, bytes_ + offset, length, likely, &solved);
    if (verdict == Verdict::kSolved) {
      counters_->solved_identifications++;
      first = static_cast<uint16_t>(solved - place);
    }
    int32_t* const fields = records_ + record * kRecordInts;
    fields[kOffset] = static_cast<int32_t>(offset);
    fields[kLength] = static_cast<int32_t>(length);
    fields[kIsVerified] = verdict == Verdict::kWrong ? 0 : 1;
    fields[kTrafficClass] = traffic_class;
    fields[kHopLimit] = hop_limit;
    fields[kSourceNumber] = source_number_;
    for (size_t i = 0; i < 4; i++) fields[kSourceWord0 + i] = static_cast<int32_t>(source.words[i]);
    fields[kSourcePort] = source.port;
    record++;
    left -= length;
    offset += length;
    if (left == 0) break;
  }
  // A socket that is not connected gives each buffer the same, a connected one counts them.
  next_identification_ = first == 0 ? first : static_cast<uint16_t>(first + 1);
  if (left == 0) return record;
  counters_->ignored_datagrams++;
  return record;
}

void ReceiveRing::ReadControl(const msghdr& header, size_t* segment_bytes, int* traffic_class, int* hop_limit) {
  auto* all = const_cast<msghdr*>(&header);
  for (cmsghdr* control = CMSG_FIRSTHDR(all); control != nullptr; control = CMSG_NXTHDR(all, control)) {
    const int level = control->cmsg_level;
    const int type = control->cmsg_type;
    const int value = ReadInt(control);
    if (level == IPPROTO_UDP && type == kUdpGro && value > 0) *segment_bytes = static_cast<size_t>(value);
    else if (level == IPPROTO_IP && type == IP_TOS) *traffic_class = value & 255;
    else if (level == IPPROTO_IP && type == IP_TTL) *hop_limit = value & 255;
    else if (level == IPPROTO_IPV6 && type == IPV6_TCLASS) *traffic_class = value & 255;
    else if (level == IPPROTO_IPV6 && type == IPV6_HOPLIMIT) *hop_limit = value & 255;
  }
}

PseudoHeader& ReceiveRing::PseudoHeaderFrom(const Address& source) {
  if (!source.Is(last_source_)) {
    last_source_ = source;
    // Anyone may send as many of them as they like.
    source_number_ = source_number_ == INT32_MAX ? 1 : source_number_ + 1;
    pseudo_ = PseudoHeader(source, own_);
    next_identification_ = 0;
  }
  return pseudo_;
}

}  // namespace queuepair
