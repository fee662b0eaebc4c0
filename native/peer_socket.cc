#include "peer_socket.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>

#include <cstring>

namespace queuepair {
namespace {

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kUdpBytes = 8;
constexpr size_t kProbeBytes = 4;

// Sends a packet to `to`, an address of this host, and returns the identification that it had: a packet whose time of
// leaving is asked for comes back with its headers. -1 if it does not.
int32_t IdentificationOfOne(int fd, const Address& own, const sockaddr_storage& to, socklen_t to_length) {
  const uint8_t probe[kProbeBytes] = {};
  iovec piece{const_cast<uint8_t*>(probe), sizeof(probe)};
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint32_t))] = {};
  auto* ask = reinterpret_cast<cmsghdr*>(control);
  ask->cmsg_level = SOL_SOCKET;
  ask->cmsg_type = SO_TIMESTAMPING;
  ask->cmsg_len = CMSG_LEN(sizeof(uint32_t));
  const uint32_t when = SOF_TIMESTAMPING_TX_SOFTWARE;
  std::memcpy(CMSG_DATA(ask), &when, sizeof(when));
  msghdr header{};
  header.msg_name = const_cast<sockaddr_storage*>(&to);
  header.msg_namelen = to_length;
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  if (sendmsg(fd, &header, MSG_DONTWAIT) < 0) return -1;
  uint8_t packet[256];
  alignas(cmsghdr) uint8_t report[512];
  iovec place{packet, sizeof(packet)};
  msghdr answer{};
  answer.msg_iov = &place;
  answer.msg_iovlen = 1;
  answer.msg_control = report;
  answer.msg_controllen = sizeof(report);
  const ssize_t length = recvmsg(fd, &answer, MSG_ERRQUEUE | MSG_DONTWAIT);
  constexpr size_t kTail = kIpv4Bytes + kUdpBytes + kProbeBytes;
  if (length < static_cast<ssize_t>(kTail) || (answer.msg_flags & MSG_TRUNC) != 0) return -1;
  const uint8_t* const ip = packet + length - kTail;
  const uint32_t source = htonl(own.words[3]);
  const uint16_t source_port = htons(own.port);
  const bool is_it = ip[0] == 0x45 && ip[9] == IPPROTO_UDP && std::memcmp(ip + 12, &source, sizeof(source)) == 0 &&
                     std::memcmp(ip + kIpv4Bytes, &source_port, sizeof(source_port)) == 0;
  return is_it ? ip[4] << 8 | ip[5] : -1;
}

}  // namespace

PeerSocket* PeerSocket::Open(napi_env env, const UdpSocket& port, const Address& peer,
                             std::function<void(int)> on_ready) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
  auto* made = new PeerSocket(peer, std::move(on_ready));
  if (made->socket_.OpenBeside(port, peer) != 0 || !made->LearnIdentification() ||
      uv_poll_init(loop, &made->poll_, made->fd()) != 0) {
    delete made;
    return nullptr;
  }
  made->poll_.data = made;
  uv_unref(reinterpret_cast<uv_handle_t*>(&made->poll_));
  // The port stops it, and the environment waits until the hook is removed.
  const auto on_end = [](napi_async_cleanup_hook_handle, void*) {};
  napi_add_async_cleanup_hook(env, on_end, made, &made->hook_);
  return made;
}

// Two packets, because what is not counted one by one cannot be known.
bool PeerSocket::LearnIdentification() {
  const Address& own = socket_.address();
  if (!own.IsIpv4()) return true;
  UdpSocket sink;
  if (sink.Open({{own.words[0], own.words[1], own.words[2], own.words[3]}, 0}) != 0) return false;
  sockaddr_storage to;
  const socklen_t to_length = ToSockaddr(sink.address(), &to);
  int reports = SOF_TIMESTAMPING_SOFTWARE;
  if (setsockopt(fd(), SOL_SOCKET, SO_TIMESTAMPING, &reports, sizeof(reports)) != 0) return false;
  const int32_t first = IdentificationOfOne(fd(), own, to, to_length);
  const int32_t second = IdentificationOfOne(fd(), own, to, to_length);
  reports = 0;
  if (setsockopt(fd(), SOL_SOCKET, SO_TIMESTAMPING, &reports, sizeof(reports)) != 0) return false;
  if (first < 0 || second < 0 || second != ((first + 1) & 0xffff)) return false;
  identification_ = static_cast<uint16_t>(second + 1);
  return true;
}

void PeerSocket::Watch(int events) {
  if (is_stopped_ || events == watched_) return;
  watched_ = events;
  if (events == 0) {
    uv_poll_stop(&poll_);
    return;
  }
  uv_poll_start(&poll_, events, [](uv_poll_t* poll, int status, int ready) {
    auto* const self = static_cast<PeerSocket*>(poll->data);
    // An error of the socket is said by the next call on it.
    if (!self->is_stopped_) self->on_ready_(status < 0 ? UV_READABLE : ready);
  });
}

void PeerSocket::Stop() {
  if (is_stopped_) return;
  is_stopped_ = true;
  uv_poll_stop(&poll_);
  socket_.Close();
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* const self = static_cast<PeerSocket*>(handle->data);
    napi_remove_async_cleanup_hook(self->hook_);
    delete self;
  });
}

}  // namespace queuepair
