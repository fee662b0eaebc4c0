#include "message_builder.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "crc32.h"
#include "segment_route.h"
#include "udp_socket.h"

namespace queuepair {
namespace {

constexpr int kUdpSegment = 103;
constexpr size_t kHeaderStride = 64;
constexpr int32_t kMaxPayload = 4096;
constexpr size_t kMaxPad = 3;
constexpr size_t kMaxPacketBytes = kHeaderStride + kMaxPayload + 4 + kIcrcBytes;
// Limits of a segmented send.
constexpr uint32_t kMaxSegments = 64;
constexpr size_t kMaxMessageBytes = 65507;
// What is built before it is sent is read twice, for its checksum and by the kernel: the second time from the cache of the processor.
constexpr size_t kMaxBuiltBytes = 32 * 1024;
// Pieces from this length on are summed while they are copied; one sum of all of a packet is cheaper for shorter ones.
constexpr size_t kSummedBytes = 512;
constexpr uint8_t kDefaultHopLimit = 64;

size_t PadOf(int32_t payload) { return (0 - static_cast<size_t>(payload)) & 3; }

cmsghdr* AddControl(Control* control, int level, int type, const void* value, size_t length) {
  auto* header = reinterpret_cast<cmsghdr*>(control->bytes + control->length);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(length);
  std::memcpy(CMSG_DATA(header), value, length);
  control->length += CMSG_SPACE(length);
  return header;
}

}  // namespace

Flow::Flow(const Address& source, const Address& destination, uint8_t traffic_class_, uint8_t hop_limit_)
    : pseudo(source, destination),
      to_length(ToSockaddr(destination, &to)),
      traffic_class(traffic_class_),
      hop_limit(hop_limit_),
      may_segment(SegmentsKeepIdentification(source, destination)) {}

void Control::Fill(const Flow& flow, uint16_t segment_bytes) {
  length = 0;
  if (segment_bytes != 0) AddControl(this, IPPROTO_UDP, kUdpSegment, &segment_bytes, sizeof(segment_bytes));
  const bool is_ipv4 = flow.pseudo.is_ipv4();
  const int level = is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6;
  if (flow.traffic_class != 0) {
    const int value = flow.traffic_class;
    AddControl(this, level, is_ipv4 ? IP_TOS : IPV6_TCLASS, &value, sizeof(value));
  }
  if (flow.hop_limit != kDefaultHopLimit && flow.hop_limit != 0) {
    const int value = flow.hop_limit;
    AddControl(this, level, is_ipv4 ? IP_TTL : IPV6_HOPLIMIT, &value, sizeof(value));
  }
}

size_t MessageBuilder::Build(const Batch& batch, uint32_t first, uint32_t end, uint16_t identification) {
  batch_ = &batch;
  identification_ = identification;
  Reserve(batch);
  message_count_ = 0;
  staged_to_ = 0;
  size_t bytes = 0;
  for (uint32_t index = first; index < end && bytes < kMaxBuiltBytes;) {
    const size_t before = message_count_;
    const Flow* const flow = flows_.Find(batch.flow[index]);
    if (before > 0 && flow != nullptr && flow->is_connected != messages_[0].flow->is_connected) break;
    index = AddMessage(index, end);
    if (message_count_ > before) bytes += messages_[before].bytes;
    built_to_ = index;
  }
  return message_count_;
}

void MessageBuilder::Reserve(const Batch& batch) {
  const size_t packets = batch.capacity;
  if (messages_.size() >= packets) return;
  messages_.resize(packets);
  headers_.resize(packets);
  controls_.resize(packets);
  pieces_.resize(packets);
  staging_.resize(packets * kMaxPacketBytes);
}

// Makes one message that begins with packet `first`; returns the packet after it.
uint32_t MessageBuilder::AddMessage(uint32_t first, uint32_t end) {
  Flow* const flow = CheckPacket(*batch_, first);
  if (flow == nullptr) {
    counters_->skipped_packets++;
    return first + 1;
  }
  const size_t packet_bytes = PacketBytes(*batch_, first);
  const size_t from = staged_to_;
  size_t bytes = packet_bytes;
  uint32_t packets = 1;
  const uint16_t identification = flow->is_connected ? identification_++ : 0;
  AddPacket(*flow, first, identification);
  uint32_t next = first + 1;
  const uint32_t limit = flow->may_segment ? std::min(end, first + kMaxSegments) : next;
  for (bool is_last = false; next < limit && !is_last; next++) {
    const size_t next_bytes = PacketBytes(*batch_, next);
    if (batch_->flow[next] != batch_->flow[first] || next_bytes > packet_bytes) break;
    if (bytes + next_bytes > kMaxMessageBytes || CheckPacket(*batch_, next) == nullptr) break;
    // Only the last packet may be shorter.
    is_last = next_bytes < packet_bytes;
    AddPacket(*flow, next, static_cast<uint16_t>(identification + packets));
    bytes += next_bytes;
    packets++;
  }
  const auto segment_bytes = static_cast<uint16_t>(packets > 1 ? packet_bytes : 0);
  messages_[message_count_] = {flow, first, next, packets, segment_bytes, bytes};
  Control& control = controls_[message_count_];
  control.Fill(*flow, segment_bytes);
  msghdr& header = headers_[message_count_].msg_hdr;
  header.msg_name = flow->is_connected ? nullptr : &flow->to;
  header.msg_namelen = flow->is_connected ? 0 : flow->to_length;
  pieces_[message_count_] = {staging_.data() + from, bytes};
  header.msg_iov = &pieces_[message_count_];
  header.msg_iovlen = 1;
  header.msg_control = control.length > 0 ? control.bytes : nullptr;
  header.msg_controllen = control.length;
  header.msg_flags = 0;
  message_count_++;
  return next;
}

void MessageBuilder::AddPacket(Flow& flow, uint32_t index, uint16_t identification) {
  const uint8_t* const header = batch_->headers + index * kHeaderStride;
  const size_t header_length = batch_->header_length[index];
  const int32_t payload = batch_->payload_length[index];
  const size_t pad = PadOf(payload);
  const size_t length = header_length + static_cast<size_t>(payload) + pad;
  uint32_t crc = flow.pseudo.Start(header, length, identification);
  summed_to_ = staged_to_;
  // All of the place, because a copy of fixed length is no call; what follows is written over the rest.
  std::memcpy(staging_.data() + staged_to_, header, kHeaderStride);
  staged_to_ += header_length;
  if (payload > 0) crc = AddPayload(index, crc);
  std::memset(staging_.data() + staged_to_, 0, kMaxPad);
  staged_to_ += pad;
  StoreIcrc(staging_.data() + staged_to_, TakeCrc(crc));
  staged_to_ += kIcrcBytes;
}

uint32_t MessageBuilder::AddPayload(uint32_t index, uint32_t crc) {
  const int32_t end = batch_->segment_start[index + 1];
  for (int32_t i = batch_->segment_start[index]; i < end; i++) {
    const Region* const region = regions_.Find(batch_->region[i]);
    const uint8_t* bytes = region->bytes + static_cast<size_t>(batch_->segment_offset[i]);
    const auto length = static_cast<size_t>(batch_->segment_length[i]);
    if (length < kSummedBytes) {
      std::memcpy(staging_.data() + staged_to_, bytes, length);
      staged_to_ += length;
    } else {
      crc = Crc32Copy(TakeCrc(crc), staging_.data() + staged_to_, bytes, length);
      staged_to_ += length;
      summed_to_ = staged_to_;
    }
  }
  return crc;
}

// Of what was staged since the last time: in one go, because a CRC of few bytes costs as much as one of many.
uint32_t MessageBuilder::TakeCrc(uint32_t crc) {
  const size_t from = summed_to_;
  summed_to_ = staged_to_;
  return Crc32(crc, staging_.data() + from, staged_to_ - from);
}

Flow* MessageBuilder::CheckPacket(const Batch& batch, uint32_t index) const {
  const size_t header_length = batch.header_length[index];
  const int32_t payload = batch.payload_length[index];
  const int32_t start = batch.segment_start[index];
  const int32_t end = batch.segment_start[index + 1];
  if (header_length < kBthBytes || header_length > kHeaderStride) return nullptr;
  if (payload < 0 || payload > kMaxPayload) return nullptr;
  if (start < 0 || end < start || static_cast<uint32_t>(end) > batch.segment_capacity) return nullptr;
  int64_t total = 0;
  for (int32_t i = start; i < end; i++) {
    const Region* const region = regions_.Find(batch.region[i]);
    const double offset = batch.segment_offset[i];
    const int32_t length = batch.segment_length[i];
    if (region == nullptr || length < 0 || !(offset >= 0)) return nullptr;
    if (offset + length > static_cast<double>(region->length)) return nullptr;
    total += length;
  }
  return total == payload ? flows_.Find(batch.flow[index]) : nullptr;
}

size_t MessageBuilder::PacketBytes(const Batch& batch, uint32_t index) const {
  const int32_t payload = batch.payload_length[index];
  return batch.header_length[index] + static_cast<size_t>(payload) + PadOf(payload) + kIcrcBytes;
}

void MessageBuilder::Copy(const Batch& batch, uint32_t index, uint8_t* out) const {
  const size_t header_length = batch.header_length[index];
  std::memcpy(out, batch.headers + index * kHeaderStride, header_length);
  out += header_length;
  const int32_t end = batch.segment_start[index + 1];
  for (int32_t i = batch.segment_start[index]; i < end; i++) {
    const Region* const region = regions_.Find(batch.region[i]);
    const auto length = static_cast<size_t>(batch.segment_length[i]);
    std::memcpy(out, region->bytes + static_cast<size_t>(batch.segment_offset[i]), length);
    out += length;
  }
  std::memset(out, 0, PadOf(batch.payload_length[index]) + kIcrcBytes);
}

}  // namespace queuepair
