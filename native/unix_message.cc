#include "unix_message.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace queuepair {
namespace {

// What a user ID becomes that this user namespace has no name for.
constexpr uid_t kNobody = 65534;
// Room for more than anybody should bring, so that it is seen.
constexpr size_t kMaxPassed = 2;

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

bool IsOurUser(int fd) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == geteuid() && peer.uid != kNobody;
}

bool SendWith(int fd, void* message, size_t length, int passed) {
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = {};
  iovec piece{message, length};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  if (passed >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &passed, sizeof(int));
  }
  return sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(length);
}

bool HasMessage(int fd) {
  uint8_t byte;
  return recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

bool ReceiveWith(int fd, void* message, size_t length, Descriptor* passed) {
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(kMaxPassed * sizeof(int))] = {};
  iovec piece{message, length};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  const ssize_t received = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) return false;
  std::vector<Descriptor> came;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = CMSG_LEN(0); at + sizeof(int) <= part->cmsg_len; at += sizeof(int)) {
      int value;
      std::memcpy(&value, reinterpret_cast<uint8_t*>(part) + at, sizeof(value));
      came.emplace_back(value);
    }
  }
  const bool is_whole = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  if (!is_whole || received != static_cast<ssize_t>(length) || came.size() != (passed == nullptr ? 0 : 1)) return false;
  if (passed != nullptr) *passed = std::move(came[0]);
  return true;
}

}  // namespace queuepair
