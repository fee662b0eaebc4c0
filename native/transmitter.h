// Sends batches, through rings where there are any. What the socket has no room for is copied and kept, so that nothing points into a batch or a region
// after `Send`; until it has left, the port is not writable.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "counters.h"
#include "message_builder.h"
#include "peer_socket.h"

namespace queuepair {

class Transmitter {
 public:
  Transmitter(int fd, bool can_segment, Counters* counters)
      : fd_(fd), can_segment_(can_segment), counters_(counters), builder_(regions_, flows_, counters) {}

  int32_t AddBatch(const Batch& batch);
  int32_t AddFlow(std::unique_ptr<Flow> flow);
  HandleTable<Region>& regions() { return regions_; }
  HandleTable<Flow>& flows() { return flows_; }

  // Sends the first `count` packets of the batch, or keeps them.
  void Send(int32_t batch, uint32_t count);
  // Tries again to send what was kept.
  void FlushHeld();
  bool has_held() const { return !held_.empty(); }
  // The peer to which alone so much is sent that a socket of its own pays; nullptr if there is none, or it has one.
  const Address* busy_peer() const { return is_peer_busy_ ? &busy_peer_ : nullptr; }
  // Packets to the peer of `socket` leave by it; nullptr = by the port's, as all others. It is used until then.
  void UsePeerSocket(PeerSocket* socket);
  PeerSocket* peer_socket() const { return peer_socket_; }
  // It failed, or could not be had.
  void LosePeerSocket();
  // Whether what is held back waits for the socket of the peer.
  bool holds_for_peer() const { return !held_.empty() && held_.front().is_connected; }
  // From now on flows may have rings.
  void UseRings(RingHub* hub) { hub_ = hub; }

 private:
  struct HeldMessage {
    std::vector<uint8_t> bytes;
    sockaddr_storage to;
    socklen_t to_length;
    Control control;
    bool is_connected;
    Message message;
  };

  OutboundRing* RingOf(const Batch& batch, uint32_t index);
  void AskFirst(Flow& flow);
  void AskAgain(Flow& flow);
  uint32_t SendByRing(const Batch& batch, uint32_t first, uint32_t end, OutboundRing& ring);
  void SendByUdp(const Batch& batch, uint32_t first, uint32_t end);
  int SendBuilt(size_t count, int fd);
  void NoteSent(const Flow& flow);
  void Hold(size_t index);
  void CountSent(const Message& message);
  void CountError(int error) { counters_->send_errors[error]++; }

  const int fd_;
  const bool can_segment_;
  Counters* const counters_;
  RingHub* hub_ = nullptr;
  HandleTable<Region> regions_;
  HandleTable<Flow> flows_;
  HandleTable<Batch> batches_;
  MessageBuilder builder_;
  std::deque<HeldMessage> held_;
  PeerSocket* peer_socket_ = nullptr;
  // The flow of the last send by the port's socket, only compared, and the sends in a row that were all of it.
  const Flow* last_flow_ = nullptr;
  uint32_t sends_in_row_ = 0;
  // Sends by the port's socket since the last by the peer's.
  uint32_t sends_to_others_ = 0;
  Address busy_peer_{};
  bool is_peer_busy_ = false;
  int failed_peer_sockets_ = 0;
};

}  // namespace queuepair
