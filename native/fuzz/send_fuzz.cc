// Batches that no engine would make: any header length, payload, segment, offset and handle. MessageBuilder must name no
// memory but what is registered and its own, and every packet that it lets through must be the one that was asked for,
// with the right pad and ICRC.
#include <cmath>
#include <memory>
#include <vector>

#include "../crc32.h"
#include "../handle_table.h"
#include "../icrc.h"
#include "../message_builder.h"
#include "input.h"

namespace {

using namespace queuepair;

constexpr uint32_t kCapacity = 12;
constexpr uint32_t kSegmentCapacity = 40;
constexpr size_t kHeaderStride = 64;

// Mostly what is right, sometimes what is near it, seldom anything.
double TakeOffset(Input* input, double last) {
  switch (input->Below(32)) {
    case 31:
      return input->Take<double>();
    case 30:
      return -1;
    case 29:
      return std::nan("");
    case 28:
    case 27:
      return last + 1;
    case 26:
    case 25:
      return last;
    default:
      return last < 1 ? 0 : static_cast<double>(input->Below(static_cast<size_t>(last)));
  }
}

int32_t TakeLength(Input* input) {
  switch (input->Below(32)) {
    case 31:
      return input->Take<int32_t>();
    case 30:
      return 0;
    case 29:
      return 4096;
    case 28:
    case 27:
      return static_cast<int32_t>(input->Below(1500));
    default:
      return static_cast<int32_t>(input->Below(65));
  }
}

// What the message with these pieces puts on the wire.
std::vector<uint8_t> Gather(const msghdr& header) {
  std::vector<uint8_t> wire;
  for (size_t i = 0; i < header.msg_iovlen; i++) {
    const auto* from = static_cast<const uint8_t*>(header.msg_iov[i].iov_base);
    wire.insert(wire.end(), from, from + header.msg_iov[i].iov_len);
  }
  return wire;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  HandleTable<Region> regions;
  HandleTable<Flow> flows;
  std::vector<std::unique_ptr<uint8_t[]>> memory;
  const size_t lengths[] = {4096, 64, 1, 5000};
  for (size_t i = 0; i < 4; i++) {
    // Each a block of its own, so that a byte beyond is noticed.
    memory.push_back(std::make_unique<uint8_t[]>(lengths[i]));
    for (size_t at = 0; at < lengths[i]; at++) memory[i][at] = static_cast<uint8_t>(at * 31 + i);
    regions.Add(std::make_unique<Region>(Region{memory[i].get(), lengths[i]}));
  }
  const Address own{{0, 0, 0xffff, 0x7f000001}, 4791};
  const Address peer{{0, 0, 0xffff, 0x7f000002}, 4791};
  const Address peer6{{0, 0, 0, 2}, 4791};
  // Asking the kernel for the route at every input would be most of the time.
  static const Flow flow4(own, peer, 0, 64);
  static const Flow flow6({{0, 0, 0, 1}, 4791}, peer6, 2, 9);
  flows.Add(std::make_unique<Flow>(flow4));
  flows.Add(std::make_unique<Flow>(flow6));

  std::vector<uint8_t> headers(kCapacity * kHeaderStride);
  std::vector<uint8_t> header_length(kCapacity);
  std::vector<int32_t> payload_length(kCapacity), flow(kCapacity), segment_start(kCapacity + 1);
  std::vector<double> segment_offset(kSegmentCapacity);
  std::vector<int32_t> segment_length(kSegmentCapacity), region(kSegmentCapacity);
  for (size_t i = 0; i < kSegmentCapacity; i++) {
    segment_length[i] = TakeLength(&input);
    region[i] = input.OneIn(16) ? input.Take<int32_t>() : static_cast<int32_t>(1 + input.Below(4));
    const Region* const where = regions.Find(region[i]);
    // The last offset at which the piece still lies in its region.
    const double last = where == nullptr ? 0 : static_cast<double>(where->length) - segment_length[i];
    segment_offset[i] = TakeOffset(&input, last);
  }
  int32_t segment = 0;
  for (uint32_t i = 0; i < kCapacity; i++) {
    input.TakeBytes(&headers[i * kHeaderStride], 24);
    header_length[i] = static_cast<uint8_t>(input.OneIn(8) ? input.Take<uint8_t>() : 12 + 4 * input.Below(13));
    segment_start[i] = input.OneIn(16) ? input.Take<int32_t>() : segment;
    segment = std::min<int32_t>(segment + static_cast<int32_t>(input.Below(input.OneIn(4) ? 8 : 3)), kSegmentCapacity);
    int64_t total = 0;
    for (int32_t s = std::max(0, segment_start[i]); s < segment; s++) total += segment_length[static_cast<size_t>(s)];
    payload_length[i] = input.OneIn(16) ? input.Take<int32_t>() : static_cast<int32_t>(total);
    flow[i] = input.OneIn(16) ? input.Take<int32_t>() : static_cast<int32_t>(1 + input.Below(2));
  }
  segment_start[kCapacity] = segment;

  const Batch batch{kCapacity,
                    kSegmentCapacity,
                    headers.data(),
                    header_length.data(),
                    payload_length.data(),
                    segment_start.data(),
                    segment_offset.data(),
                    segment_length.data(),
                    flow.data(),
                    region.data()};
  Counters counters;
  MessageBuilder builder(regions, flows, &counters);
  for (int turn = 0; turn < 2; turn++) {
    const uint64_t skipped_before = counters.skipped_packets;
    uint64_t packets = 0;
    for (uint32_t next = 0; next < kCapacity;) {
      const size_t messages = builder.Build(batch, next, kCapacity, 0);
      Must(builder.built_to() > next && builder.built_to() <= kCapacity, "each build takes packets of the batch");
      next = builder.built_to();
      for (size_t m = 0; m < messages; m++) {
        const Message& message = builder.message(m);
        const std::vector<uint8_t> wire = Gather(builder.headers()[m].msg_hdr);
        Must(wire.size() == message.bytes, "a message has the bytes that it says");
        Must(message.first < message.end && message.end <= kCapacity, "a message is made of packets of the batch");
        packets += message.packets;
        size_t at = 0;
        for (uint32_t k = 0; k < message.packets; k++) {
          const uint32_t index = message.first + k;
          const auto payload = static_cast<size_t>(payload_length[index]);
          const size_t covered = header_length[index] + payload + (0 - payload & 3);
          Must(at + covered + kIcrcBytes <= wire.size(), "a packet lies in its message");
          Must(std::memcmp(&wire[at], &headers[index * kHeaderStride], header_length[index]) == 0, "the header is the header");
          size_t from = at + header_length[index];
          for (int32_t s = segment_start[index]; s < segment_start[index + 1]; s++) {
            const auto i = static_cast<size_t>(s);
            const auto length = static_cast<size_t>(segment_length[i]);
            const Region* const where = regions.Find(region[i]);
            Must(where != nullptr, "a packet with unknown memory is skipped");
            const auto offset = static_cast<size_t>(segment_offset[i]);
            Must(offset + length <= where->length, "a piece lies in its region");
            Must(std::memcmp(wire.data() + from, where->bytes + offset, length) == 0, "the payload is the payload");
            from += length;
          }
          uint16_t solved;
          const Verdict verdict =
              VerifyIcrc(message.flow->pseudo, &wire[at], covered + kIcrcBytes, static_cast<uint16_t>(k), &solved);
          Must(verdict == Verdict::kExpected, "the ICRC is right for the place of the packet");
          at += covered + kIcrcBytes;
          if (message.segment_bytes != 0 && k + 1 < message.packets)
            Must(at == (k + 1) * message.segment_bytes, "all packets but the last are equally long");
        }
        Must(at == wire.size(), "a message holds nothing else");
      }
    }
    packets += counters.skipped_packets - skipped_before;
    Must(packets == kCapacity, "every packet is sent or skipped");
  }
  return 0;
}
