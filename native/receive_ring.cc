#include "receive_ring.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "udp_socket.h"

namespace queuepair {
namespace {

constexpr int kUdpGro = 104;
constexpr int kDefaultHopLimit = 64;

bool IsSame(const Address& a, const Address& b) {
  return a.port == b.port && std::memcmp(a.words, b.words, sizeof(a.words)) == 0;
}

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
      pieces_(slots),
      sources_(slots),
      controls_(slots),
      used_(slots) {
  for (size_t i = 0; i < slots; i++) {
    pieces_[i] = {bytes_ + i * kSlotBytes, kSlotBytes};
    msghdr& header = headers_[i].msg_hdr;
    header.msg_name = &sources_[i];
    header.msg_iov = &pieces_[i];
    header.msg_iovlen = 1;
    header.msg_control = controls_[i].bytes;
  }
}

int32_t ReceiveRing::Receive(int fd) {
  // The kernel writes the lengths of what it filled in, and only those.
  for (; used_ > 0; used_--) {
    msghdr& header = headers_[used_ - 1].msg_hdr;
    header.msg_namelen = sizeof(sockaddr_storage);
    header.msg_controllen = sizeof(ControlBuffer);
  }
  const int received = recvmmsg(fd, headers_.data(), static_cast<unsigned>(headers_.size()), MSG_DONTWAIT, nullptr);
  if (received < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) counters_->receive_errors[errno]++;
    return 0;
  }
  used_ = static_cast<size_t>(received);
  size_t records = 0;
  for (size_t i = 0; i < used_; i++) records = Split(i, records);
  counters_->receives += static_cast<uint64_t>(received);
  counters_->received_datagrams += records;
  return static_cast<int32_t>(records);
}

// Describes the datagrams in a slot, from record `record` on; returns the next free one.
size_t ReceiveRing::Split(size_t index, size_t record) {
  const msghdr& header = headers_[index].msg_hdr;
  const Address source = FromSockaddr(sources_[index]);
  size_t left = std::min<size_t>(headers_[index].msg_len, kSlotBytes);
  size_t segment_bytes = 0;
  int traffic_class = 0;
  int hop_limit = kDefaultHopLimit;
  ReadControl(header, &segment_bytes, &traffic_class, &hop_limit);
  if (segment_bytes == 0) segment_bytes = left;
  const PseudoHeader& pseudo = PseudoHeaderFrom(source);
  size_t offset = index * kSlotBytes;
  for (uint16_t place = 0; place < kMaxDatagramsPerSlot; place++) {
    const size_t length = std::min(left, segment_bytes);
    const Verdict verdict = VerifyIcrc(pseudo, bytes_ + offset, length, place);
    if (verdict == Verdict::kSolved) counters_->solved_identifications++;
    int32_t* const fields = records_ + record * kRecordInts;
    fields[kOffset] = static_cast<int32_t>(offset);
    fields[kLength] = static_cast<int32_t>(length);
    for (size_t i = 0; i < 4; i++) fields[kSourceWord0 + i] = static_cast<int32_t>(source.words[i]);
    fields[kSourcePort] = source.port;
    fields[kIsVerified] = verdict == Verdict::kWrong ? 0 : 1;
    fields[kTrafficClass] = traffic_class;
    fields[kHopLimit] = hop_limit;
    record++;
    left -= length;
    offset += length;
    if (left == 0) return record;
  }
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

const PseudoHeader& ReceiveRing::PseudoHeaderFrom(const Address& source) {
  if (!IsSame(source, last_source_)) {
    last_source_ = source;
    pseudo_ = PseudoHeader(source, own_);
  }
  return pseudo_;
}

}  // namespace queuepair
