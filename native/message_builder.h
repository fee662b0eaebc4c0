// Turns the packets of a batch that TypeScript filled (src/roce/transmit-batch.ts) into messages for sendmmsg: gathers
// payload from registered memory, adds pad and ICRC, and joins runs of packets to one peer into segmented sends. All is copied
// into one piece a message, the checksum taken on the way: the kernel needs a third longer to gather 31 pieces than this copy takes.
// So memory that changes meanwhile cannot come between checksum and send.
//
// Invariants: no memory is named that is not registered, or outside of the bounds it was registered with; a packet that
// asks for such is skipped and counted. What was built is valid until the next `Build`.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "counters.h"
#include "handle_table.h"
#include "icrc.h"
#include "ring_hub.h"

namespace queuepair {

struct Region {
  const uint8_t* bytes;
  size_t length;
};

struct Flow {
  Flow(const Address& source, const Address& destination, uint8_t traffic_class, uint8_t hop_limit);

  PseudoHeader pseudo;
  sockaddr_storage to;
  socklen_t to_length;
  uint8_t traffic_class;
  uint8_t hop_limit;
  // Whether packets may be joined into segmented sends.
  bool may_segment;
  // Whether packets leave by the socket that is connected to the peer.
  bool is_connected = false;
  // The way through memory, if the peer is on this host; UDP is taken while it is not up.
  std::shared_ptr<OutboundRing> ring;
  // Whether there may be such a way later: then it is asked for again, after longer and longer pauses.
  bool may_have_ring = false;
  uint64_t asks_at_millis = 0;
  uint64_t ask_pause_millis = 0;
};

// The typed arrays of a batch. They belong to JavaScript, which keeps them.
struct Batch {
  uint32_t capacity;
  uint32_t segment_capacity;
  const uint8_t* headers;
  const uint8_t* header_length;
  const int32_t* payload_length;
  const int32_t* segment_start;
  const double* segment_offset;
  const int32_t* segment_length;
  const int32_t* flow;
  const int32_t* region;
};

// The control messages of one send.
struct Control {
  // `segment_bytes` 0 = not segmented.
  void Fill(const Flow& flow, uint16_t segment_bytes);

  size_t length = 0;
  alignas(cmsghdr) uint8_t bytes[3 * CMSG_SPACE(sizeof(int))];
};

// One send: the packets [first, end) of the batch, less those that were skipped.
struct Message {
  Flow* flow;
  uint32_t first;
  uint32_t end;
  uint32_t packets;
  // Bytes of each packet but the last; 0 = it is one packet.
  uint16_t segment_bytes;
  size_t bytes;
};

class MessageBuilder {
 public:
  MessageBuilder(const HandleTable<Region>& regions, const HandleTable<Flow>& flows, Counters* counters)
      : regions_(regions), flows_(flows), counters_(counters) {}

  // Makes messages of the packets [first, end), or of the first of them if they are many; returns how many messages. They are for
  // one socket; on a connected one the first has `identification`, and each the one after that.
  size_t Build(const Batch& batch, uint32_t first, uint32_t end, uint16_t identification);
  // The packet behind those of the last `Build`.
  uint32_t built_to() const { return built_to_; }

  // The flow of packet `index`; nullptr if it cannot be sent.
  Flow* CheckPacket(const Batch& batch, uint32_t index) const;
  // Of a packet that can be sent.
  size_t PacketBytes(const Batch& batch, uint32_t index) const;
  // Writes it to `out`, with zeros for its ICRC: who reads it there knows who wrote it.
  void Copy(const Batch& batch, uint32_t index, uint8_t* out) const;

  mmsghdr* headers() { return headers_.data(); }
  const Message& message(size_t index) const { return messages_[index]; }

 private:
  void Reserve(const Batch& batch);
  uint32_t AddMessage(uint32_t first, uint32_t end);
  void AddPacket(Flow& flow, uint32_t index, uint16_t identification);
  uint32_t AddPayload(uint32_t index, uint32_t crc);
  uint32_t TakeCrc(uint32_t crc);

  const HandleTable<Region>& regions_;
  const HandleTable<Flow>& flows_;
  Counters* const counters_;
  const Batch* batch_ = nullptr;
  std::vector<Message> messages_;
  std::vector<mmsghdr> headers_;
  std::vector<Control> controls_;
  // One a message.
  std::vector<iovec> pieces_;
  // The messages, in the order of the wire.
  std::vector<uint8_t> staging_;
  uint32_t built_to_ = 0;
  // Of the next message, on a connected socket.
  uint16_t identification_ = 0;
  size_t message_count_ = 0;
  // What is in staging, and from where on the CRC has not been taken.
  size_t summed_to_ = 0;
  size_t staged_to_ = 0;
};

}  // namespace queuepair
