// A second socket of a port, with the same address and port, connected to the peer that the port sends to most: the kernel
// looks up no route for each send. What that peer sends arrives here, what all others send at the port's own socket. On the
// wire nothing differs but the IPv4 identification, which the kernel counts for a connected socket. Where it begins it does
// not tell: two packets that this host sends to itself show it, so that every ICRC stays exact.
//
// Life: made by `Open`, from then on owned by the event loop, which lets go of it some time after `Stop`.
#pragma once

#include <node_api.h>
#include <uv.h>

#include <cstdint>
#include <functional>

#include "udp_socket.h"

namespace queuepair {

class PeerSocket {
 public:
  // `on_ready` gets the events of libuv that `Watch` asked for. nullptr if the system does not let.
  static PeerSocket* Open(napi_env env, const UdpSocket& port, const Address& peer, std::function<void(int)> on_ready);
  void Stop();
  // UV_READABLE, UV_WRITABLE, both or 0.
  void Watch(int events);

  void ReadHopLimits() { socket_.ReadHopLimits(); }

  int fd() const { return socket_.fd(); }
  const Address& peer() const { return peer_; }
  // Of the next packet, or of the first of the next segmented send; IPv6 has none.
  uint16_t identification() const { return identification_; }
  // So many sends got theirs.
  void CountSends(size_t count) { identification_ = static_cast<uint16_t>(identification_ + count); }

 private:
  PeerSocket(const Address& peer, std::function<void(int)> on_ready) : peer_(peer), on_ready_(std::move(on_ready)) {}
  ~PeerSocket() = default;

  bool LearnIdentification();

  UdpSocket socket_;
  const Address peer_;
  const std::function<void(int)> on_ready_;
  uint16_t identification_ = 0;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uv_poll_t poll_{};
  int watched_ = 0;
  bool is_stopped_ = false;
};

}  // namespace queuepair
