// A port as JavaScript sees it: a socket with its transmitter and receive ring, and its readiness on the event loop.
//
// Life: made by `Open`, and from then on owned by itself. `Close` (by JavaScript, or by the end of the environment)
// stops everything at once; the memory goes when the event loop has let go of the handle. JavaScript must not be called
// and its memory not be touched after `Close`.
#pragma once

#include <node_api.h>
#include <uv.h>

#include <memory>
#include <vector>

#include "counters.h"
#include "peer_socket.h"
#include "receive_ring.h"
#include "ring_hub.h"
#include "ring_waker.h"
#include "transmitter.h"
#include "udp_socket.h"

namespace queuepair {

class UdpPort {
 public:
  struct Memory {
    uint8_t* ring;
    int32_t* records;
    size_t slots;
  };

  // `on_ready` is called with `ReadyFlag`s. `wants_rings`: peers of this host are reached through memory. Returns an errno.
  static int Open(napi_env env, const Address& address, const Memory& memory, napi_value on_ready, bool wants_rings,
                  UdpPort** out);

  enum ReadyFlag : int32_t { kReadable = 1, kWritable = 2 };

  // Only while JavaScript runs. Idempotent.
  void Close();

  // Keeps a JavaScript object until the port is closed.
  void Keep(napi_value object);

  int32_t AddFlow(const Address& source, const Address& destination, uint8_t traffic_class, uint8_t hop_limit);
  void Send(int32_t batch, uint32_t count);
  // Looks for datagrams up to `looks` times, without waiting in between; returns how many came.
  int32_t Receive(int32_t looks);
  // Whether there may be more than `Receive` took.
  bool MayHaveMore() const { return ring_->may_have_more() || (hub_ != nullptr && hub_->HasNews()); }
  // Tries again to send what is kept.
  void Flush();
  // Whether the event loop is to say when datagrams are there.
  void SetListening(bool is_listening);
  // From now on records have the hop limit of their packets.
  void ReadHopLimits();
  // Whether the owner looks in the next turn of the event loop by itself.
  void SetTurning(bool is_turning);
  bool IsBlocked() const { return transmitter_->has_held(); }

  const Address& address() const { return socket_.address(); }
  Transmitter& transmitter() { return *transmitter_; }
  const Counters& counters() const { return counters_; }
  size_t rings() const { return hub_ == nullptr ? 0 : hub_->size(); }

 private:
  explicit UdpPort(napi_env env) : env_(env) {}
  ~UdpPort() = default;

  int Start(const Address& address, const Memory& memory, napi_value on_ready);
  void OfferRings();
  int32_t ReceiveOnce();
  int32_t ReceiveByUdp();
  // After sends: opens and closes the socket of the busy peer.
  void FollowPeer();
  void Stop();
  void Watch();
  void OnReady(int events);
  void CallBack(int32_t flags);
  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* port);

  const napi_env env_;
  Counters counters_;
  UdpSocket socket_;
  std::unique_ptr<Transmitter> transmitter_;
  std::unique_ptr<ReceiveRing> ring_;
  // Both or none.
  std::unique_ptr<RingHub> hub_;
  RingWaker* waker_ = nullptr;
  uint32_t looks_ = 0;
  // The transmitter's, until it has no use for it.
  PeerSocket* peer_socket_ = nullptr;
  uint32_t udp_looks_ = 0;
  // The port's own socket had nothing more from the time before the peer had its own.
  bool is_peer_socket_open_ = false;
  // Which of the two had something last.
  bool prefers_peer_socket_ = false;
  std::vector<napi_ref> kept_;
  napi_ref on_ready_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uv_poll_t poll_{};
  int watched_ = 0;
  bool is_listening_ = true;
  bool is_closed_ = false;
};

}  // namespace queuepair
