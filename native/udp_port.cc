#include "udp_port.h"

#include <cerrno>

namespace queuepair {

namespace {

// While packets come through rings, the socket is looked at once in so many looks, and who comes and goes in so many.
constexpr uint32_t kLooksPerSocket = 16;
constexpr uint32_t kLooksPerMaintenance = 1024;
// Of the two sockets that a port may have, the one that had nothing last is looked at once in so many looks.
constexpr uint32_t kLooksPerOther = 8;

}  // namespace

int UdpPort::Open(napi_env env, const Address& address, const Memory& memory, napi_value on_ready, bool wants_rings,
                  UdpPort** out) {
  auto* port = new UdpPort(env);
  const int error = port->Start(address, memory, on_ready);
  if (error != 0) {
    delete port;
    return error;
  }
  if (wants_rings) port->OfferRings();
  *out = port;
  return 0;
}

int UdpPort::Start(const Address& address, const Memory& memory, napi_value on_ready) {
  const int error = socket_.Open(address);
  if (error != 0) return error;
  transmitter_ = std::make_unique<Transmitter>(socket_.fd(), socket_.can_segment(), &counters_);
  ring_ = std::make_unique<ReceiveRing>(memory.ring, memory.records, memory.slots, socket_.address(), &counters_);
  uv_loop_t* loop = nullptr;
  napi_value name;
  napi_value resource;
  if (napi_get_uv_event_loop(env_, &loop) != napi_ok ||
      napi_create_string_utf8(env_, "QUEUEPAIR_UDP", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_object(env_, &resource) != napi_ok ||
      napi_async_init(env_, resource, name, &context_) != napi_ok ||
      napi_create_reference(env_, on_ready, 1, &on_ready_) != napi_ok) {
    return ENOMEM;
  }
  const int failure = uv_poll_init(loop, &poll_, socket_.fd());
  if (failure != 0) return -failure;
  poll_.data = this;
  // The device holds the process, or does not.
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  // From here on the event loop knows the handle, and it has to be closed in order.
  napi_add_async_cleanup_hook(env_, OnEnvironmentEnd, this, &hook_);
  Watch();
  return 0;
}

void UdpPort::OfferRings() {
  hub_ = RingHub::Open(socket_.fd(), socket_.address(), &counters_);
  if (hub_ == nullptr) return;
  waker_ = RingWaker::Start(env_, hub_.get(), [this] { CallBack(kReadable); });
  if (waker_ == nullptr) hub_.reset();
  if (hub_ == nullptr) return;
  transmitter_->UseRings(hub_.get());
  ring_->UseRings(hub_.get());
}

void UdpPort::Watch() {
  const int readable = is_listening_ ? UV_READABLE : 0;
  const bool holds_for_peer = transmitter_->holds_for_peer();
  if (peer_socket_ != nullptr) peer_socket_->Watch(readable | (holds_for_peer ? UV_WRITABLE : 0));
  const int wanted = readable | (transmitter_->has_held() && !holds_for_peer ? UV_WRITABLE : 0);
  if (is_closed_ || wanted == watched_) return;
  watched_ = wanted;
  if (wanted == 0) {
    uv_poll_stop(&poll_);
    return;
  }
  uv_poll_start(&poll_, wanted, [](uv_poll_t* poll, int status, int events) {
    auto* port = static_cast<UdpPort*>(poll->data);
    // An error of the socket is said by the next call on it.
    port->prefers_peer_socket_ = false;
    port->OnReady(status < 0 ? UV_READABLE : events);
  });
}

void UdpPort::OnReady(int events) {
  int32_t flags = (events & UV_READABLE) != 0 ? kReadable : 0;
  // The socket is known to have something: the next look is at it.
  if (flags != 0) looks_ |= kLooksPerSocket - 1;
  if ((events & UV_WRITABLE) != 0 && transmitter_->has_held()) {
    transmitter_->FlushHeld();
    FollowPeer();
    Watch();
    if (!transmitter_->has_held()) flags |= kWritable;
  }
  if (flags != 0) CallBack(flags);
}

void UdpPort::CallBack(int32_t flags) {
  napi_handle_scope scope;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
  napi_value callback;
  napi_value receiver;
  napi_value argument;
  if (napi_get_reference_value(env_, on_ready_, &callback) == napi_ok &&
      napi_get_undefined(env_, &receiver) == napi_ok && napi_get_global(env_, &receiver) == napi_ok &&
      napi_create_int32(env_, flags, &argument) == napi_ok) {
    const napi_status status = napi_make_callback(env_, context_, receiver, callback, 1, &argument, nullptr);
    napi_value error;
    if (status == napi_pending_exception && napi_get_and_clear_last_exception(env_, &error) == napi_ok) {
      napi_fatal_exception(env_, error);
    }
  }
  napi_close_handle_scope(env_, scope);
}

void UdpPort::Keep(napi_value object) {
  napi_ref reference;
  if (napi_create_reference(env_, object, 1, &reference) == napi_ok) kept_.push_back(reference);
}

void UdpPort::Send(int32_t batch, uint32_t count) {
  transmitter_->Send(batch, count);
  FollowPeer();
  Watch();
}

void UdpPort::Flush() {
  transmitter_->FlushHeld();
  FollowPeer();
  Watch();
}

void UdpPort::FollowPeer() {
  const Address* const busy = transmitter_->busy_peer();
  const bool wants_one = busy != nullptr && !transmitter_->has_held();
  if (peer_socket_ != nullptr && (wants_one || transmitter_->peer_socket() == nullptr)) {
    transmitter_->UsePeerSocket(nullptr);
    peer_socket_->Stop();
    peer_socket_ = nullptr;
  }
  if (!wants_one) return;
  peer_socket_ = PeerSocket::Open(env_, socket_, *busy, [this](int events) {
    prefers_peer_socket_ = true;
    OnReady(events);
  });
  is_peer_socket_open_ = false;
  prefers_peer_socket_ = true;
  if (peer_socket_ == nullptr) transmitter_->LosePeerSocket();
  else transmitter_->UsePeerSocket(peer_socket_);
}

int32_t UdpPort::AddFlow(const Address& source, const Address& destination, uint8_t traffic_class, uint8_t hop_limit) {
  return transmitter_->AddFlow(std::make_unique<Flow>(source, destination, traffic_class, hop_limit));
}

int32_t UdpPort::Receive(int32_t looks) {
  int32_t count = 0;
  for (; count == 0 && looks > 0; looks--) count = ReceiveOnce();
  return count;
}

// What a peer sent before it had a socket of its own here comes first.
int32_t UdpPort::ReceiveByUdp() {
  if (peer_socket_ == nullptr) return ring_->Receive(socket_.fd());
  const bool is_for_other = ++udp_looks_ % kLooksPerOther == 0;
  const bool is_at_peer = is_peer_socket_open_ && prefers_peer_socket_ != is_for_other;
  const int32_t count = ring_->Receive(is_at_peer ? peer_socket_->fd() : socket_.fd());
  if (count > 0) prefers_peer_socket_ = is_at_peer;
  else if (!is_at_peer) is_peer_socket_open_ = true;
  return count;
}

int32_t UdpPort::ReceiveOnce() {
  if (hub_ == nullptr) return ReceiveByUdp();
  looks_++;
  if (looks_ % kLooksPerMaintenance == 0) hub_->Maintain();
  // Neither keeps the other from its turn.
  if (hub_->inbound().empty() || looks_ % kLooksPerSocket == 0) {
    const int32_t count = ReceiveByUdp();
    if (hub_->has_proofs()) hub_->Maintain();
    if (count > 0) return count;
  }
  const int32_t count = ring_->ReceiveFrom(*hub_, socket_.fd(), peer_socket_ == nullptr ? -1 : peer_socket_->fd());
  if (hub_->has_proofs()) hub_->Maintain();
  return count;
}

void UdpPort::SetListening(bool is_listening) {
  is_listening_ = is_listening;
  if (waker_ != nullptr) waker_->SetListening(is_listening);
  Watch();
}

void UdpPort::ReadHopLimits() {
  socket_.ReadHopLimits();
  if (peer_socket_ != nullptr) peer_socket_->ReadHopLimits();
}

void UdpPort::SetTurning(bool is_turning) {
  if (waker_ != nullptr) waker_->SetTurning(is_turning);
}

void UdpPort::Close() {
  if (is_closed_) return;
  for (napi_ref reference : kept_) napi_delete_reference(env_, reference);
  napi_delete_reference(env_, on_ready_);
  napi_async_destroy(env_, context_);
  Stop();
}

void UdpPort::Stop() {
  is_closed_ = true;
  if (waker_ != nullptr) waker_->Stop();
  if (peer_socket_ != nullptr) peer_socket_->Stop();
  peer_socket_ = nullptr;
  hub_.reset();
  uv_poll_stop(&poll_);
  socket_.Close();
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* port = static_cast<UdpPort*>(handle->data);
    napi_remove_async_cleanup_hook(port->hook_);
    delete port;
  });
}

// JavaScript is over: references and contexts go with it. The environment waits until the hook is removed.
void UdpPort::OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) {
  auto* port = static_cast<UdpPort*>(data);
  if (!port->is_closed_) port->Stop();
}

}  // namespace queuepair
