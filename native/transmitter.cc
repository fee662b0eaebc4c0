#include "transmitter.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "system_calls.h"
#include "udp_socket.h"

namespace queuepair {
namespace {

// So many at a time, so that the reader takes the first while the last are written.
constexpr uint32_t kPublishedPackets = 8;
// Between the times that a peer is asked for a ring.
constexpr uint64_t kFirstPauseMillis = 100;
constexpr uint64_t kLastPauseMillis = 10'000;
// Sends to one peer and no other that make it worth a socket, and sends to others after which it is not any more.
constexpr uint32_t kBusySends = 1024;
constexpr uint32_t kIdleSends = 4096;
// After so many that the system refused, or that failed, none is asked for any more.
constexpr int kMaxFailedPeerSockets = 3;

// Cheap, and exact to some milliseconds.
uint64_t NowMillis() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

bool IsFull(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// What the kernel says when it cannot segment on this route (no checksum offload, IPsec).
bool IsSegmentationRefused(int error) { return error == EIO || error == EINVAL || error == EOPNOTSUPP; }

}  // namespace

int32_t Transmitter::AddBatch(const Batch& batch) { return batches_.Add(std::make_unique<Batch>(batch)); }

int32_t Transmitter::AddFlow(std::unique_ptr<Flow> flow) {
  flow->may_segment = flow->may_segment && can_segment_;
  if (hub_ != nullptr) AskFirst(*flow);
  flow->is_connected = peer_socket_ != nullptr && FromSockaddr(flow->to).Is(peer_socket_->peer());
  return flows_.Add(std::move(flow));
}

void Transmitter::Send(int32_t handle, uint32_t count) {
  const Batch* const batch = batches_.Find(handle);
  if (batch == nullptr || count > batch->capacity) return;
  if (hub_ == nullptr) return SendByUdp(*batch, 0, count);
  for (uint32_t next = 0; next < count;) {
    OutboundRing* const ring = RingOf(*batch, next);
    if (ring != nullptr) {
      next = SendByRing(*batch, next, count, *ring);
      continue;
    }
    const uint32_t first = next;
    while (next < count && RingOf(*batch, next) == nullptr) next++;
    SendByUdp(*batch, first, next);
  }
}

void Transmitter::AskFirst(Flow& flow) {
  const Address to = FromSockaddr(flow.to);
  const uint64_t now = NowMillis();
  flow.may_have_ring = hub_->IsNear(to);
  if (!flow.may_have_ring) return;
  flow.ring = hub_->Reach(to, now);
  flow.ask_pause_millis = kFirstPauseMillis;
  flow.asks_at_millis = now + kFirstPauseMillis;
}

void Transmitter::AskAgain(Flow& flow) {
  const uint64_t now = NowMillis();
  if (now < flow.asks_at_millis || !hub_->MayAskAgain(now)) return;
  flow.ring = hub_->Reach(FromSockaddr(flow.to), now);
  flow.ask_pause_millis = std::min(2 * flow.ask_pause_millis, kLastPauseMillis);
  flow.asks_at_millis = now + flow.ask_pause_millis;
}

// nullptr for packets that go by UDP.
OutboundRing* Transmitter::RingOf(const Batch& batch, uint32_t index) {
  Flow* const flow = flows_.Find(batch.flow[index]);
  if (flow == nullptr || !flow->may_have_ring) return nullptr;
  if (flow->ring == nullptr || !flow->ring->is_up()) {
    AskAgain(*flow);
    if (flow->ring == nullptr || !flow->ring->is_up()) return nullptr;
  }
  // What went by UDP before the ring was used, and is held back, must not be overtaken.
  return held_.empty() || flow->ring->is_used() ? flow->ring.get() : nullptr;
}

// Sends the packets from `first` on that go through `ring`; returns the one behind them.
uint32_t Transmitter::SendByRing(const Batch& batch, uint32_t first, uint32_t end, OutboundRing& ring) {
  uint32_t next = first;
  for (; next < end && RingOf(batch, next) == &ring; next++) {
    const Flow* const flow = builder_.CheckPacket(batch, next);
    if (flow == nullptr) {
      counters_->skipped_packets++;
      continue;
    }
    const size_t length = builder_.PacketBytes(batch, next);
    uint8_t* const at = ring.writer().Reserve(length);
    if (at == nullptr) {
      counters_->ring_overflows++;
      continue;
    }
    builder_.Copy(batch, next, at);
    ring.writer().Commit(length, flow->traffic_class, flow->hop_limit);
    counters_->ring_sent_packets++;
    if ((next - first) % kPublishedPackets == kPublishedPackets - 1) ring.writer().Publish();
  }
  if (ring.Publish()) counters_->ring_wakes++;
  return next;
}

void Transmitter::SendByUdp(const Batch& batch, uint32_t first, uint32_t count) {
  for (uint32_t next = first; next < count;) {
    const uint16_t identification = peer_socket_ == nullptr ? 0 : peer_socket_->identification();
    const size_t messages = builder_.Build(batch, next, count, identification);
    if (messages == 0) {
      next = builder_.built_to();
      continue;
    }
    const bool is_connected = builder_.message(0).flow->is_connected;
    // Behind held packets everything waits, so that the order stays.
    int sent = -1;
    int error = EAGAIN;
    if (held_.empty()) {
      sent = SendBuilt(messages, is_connected ? peer_socket_->fd() : fd_);
      error = sent < 0 ? errno : 0;
    }
    if (sent > 0) {
      if (is_connected) peer_socket_->CountSends(static_cast<size_t>(sent));
      for (int i = 0; i < sent; i++) CountSent(builder_.message(static_cast<size_t>(i)));
      counters_->sends++;
      NoteSent(*builder_.message(0).flow);
      const bool is_all = static_cast<size_t>(sent) == messages;
      // What stopped it is said when the rest is tried.
      next = is_all ? builder_.built_to() : builder_.message(static_cast<size_t>(sent)).first;
      continue;
    }
    // A connected socket tells that the peer was not there a while ago.
    if (error == EINTR || (is_connected && error == ECONNREFUSED)) continue;
    if (IsFull(error)) {
      if (is_connected) peer_socket_->CountSends(messages);
      for (size_t i = 0; i < messages; i++) Hold(i);
      next = builder_.built_to();
      continue;
    }
    const Message& failed = builder_.message(0);
    CountError(error);
    if (is_connected) {
      next = failed.first;
      LosePeerSocket();
      continue;
    }
    if (failed.segment_bytes != 0 && IsSegmentationRefused(error)) {
      failed.flow->may_segment = false;
      next = failed.first;
    } else {
      next = failed.end;
    }
  }
}

// Sends the first `count` messages that were built; returns how many left, or -1.
int Transmitter::SendBuilt(size_t count, int fd) {
  const msghdr& header = builder_.headers()[0].msg_hdr;
  // Most are alone and in one piece. The kernel takes longer to read more descriptions.
  if (count > 1) return SendMessages(fd, builder_.headers(), count);
  if (header.msg_iovlen != 1 || header.msg_controllen != 0) return SendMessage(fd, &header) < 0 ? -1 : 1;
  const iovec& piece = header.msg_iov[0];
  return SendBytes(fd, piece.iov_base, piece.iov_len, header.msg_name, header.msg_namelen) < 0 ? -1 : 1;
}

void Transmitter::Hold(size_t index) {
  const msghdr& header = builder_.headers()[index].msg_hdr;
  const Message& message = builder_.message(index);
  HeldMessage held{{}, message.flow->to, message.flow->to_length, {}, message.flow->is_connected, message};
  held.bytes.reserve(message.bytes);
  for (size_t i = 0; i < header.msg_iovlen; i++) {
    const auto* bytes = static_cast<const uint8_t*>(header.msg_iov[i].iov_base);
    held.bytes.insert(held.bytes.end(), bytes, bytes + header.msg_iov[i].iov_len);
  }
  held.control.Fill(*message.flow, message.segment_bytes);
  held_.push_back(std::move(held));
  counters_->held_sends++;
}

void Transmitter::FlushHeld() {
  while (!held_.empty()) {
    HeldMessage& held = held_.front();
    iovec piece{held.bytes.data(), held.bytes.size()};
    msghdr header{};
    header.msg_name = held.is_connected ? nullptr : &held.to;
    header.msg_namelen = held.is_connected ? 0 : held.to_length;
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = held.control.length > 0 ? held.control.bytes : nullptr;
    header.msg_controllen = held.control.length;
    const bool is_connected = held.is_connected;
    if (sendmsg(is_connected ? peer_socket_->fd() : fd_, &header, MSG_DONTWAIT) >= 0) {
      counters_->sends++;
      CountSent(held.message);
    } else if (errno == EINTR || (is_connected && errno == ECONNREFUSED)) {
      continue;
    } else if (IsFull(errno)) {
      return;
    } else {
      CountError(errno);
      if (is_connected) {
        LosePeerSocket();
        continue;
      }
    }
    held_.pop_front();
  }
}

void Transmitter::CountSent(const Message& message) {
  counters_->sent_packets += message.packets;
  if (message.segment_bytes != 0) counters_->segmented_sends++;
}

// Notes which peers sends are to.
void Transmitter::NoteSent(const Flow& flow) {
  if (flow.is_connected) {
    counters_->connected_sends++;
    sends_to_others_ = 0;
    last_flow_ = nullptr;
    return;
  }
  sends_to_others_++;
  sends_in_row_ = &flow == last_flow_ ? sends_in_row_ + 1 : 1;
  last_flow_ = &flow;
  is_peer_busy_ = sends_in_row_ >= kBusySends && failed_peer_sockets_ < kMaxFailedPeerSockets;
  if (is_peer_busy_) busy_peer_ = FromSockaddr(flow.to);
  else if (peer_socket_ != nullptr && sends_to_others_ >= kIdleSends) UsePeerSocket(nullptr);
}

// Whether the kernel has used up an identification for what failed is not known.
void Transmitter::LosePeerSocket() {
  failed_peer_sockets_++;
  UsePeerSocket(nullptr);
}

void Transmitter::UsePeerSocket(PeerSocket* socket) {
  // What is held back for the socket before has no other way: its checksums have identifications of that. The protocol sends
  // it again.
  const auto goes = [](const HeldMessage& held) { return held.is_connected; };
  held_.erase(std::remove_if(held_.begin(), held_.end(), goes), held_.end());
  peer_socket_ = socket;
  is_peer_busy_ = false;
  sends_in_row_ = 0;
  flows_.ForEach([socket](Flow& flow) {
    flow.is_connected = socket != nullptr && FromSockaddr(flow.to).Is(socket->peer());
  });
}

}  // namespace queuepair
