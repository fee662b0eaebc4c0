#include "system_calls.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace queuepair {

ssize_t ReceiveMessage(int fd, msghdr* header) { return syscall(SYS_recvmsg, fd, header, MSG_DONTWAIT); }

int ReceiveMessages(int fd, mmsghdr* headers, size_t count) {
  return static_cast<int>(syscall(SYS_recvmmsg, fd, headers, count, MSG_DONTWAIT, nullptr));
}

ssize_t SendBytes(int fd, const void* bytes, size_t length, const void* to, socklen_t to_length) {
  return syscall(SYS_sendto, fd, bytes, length, MSG_DONTWAIT, to, to_length);
}

ssize_t SendMessage(int fd, const msghdr* header) { return syscall(SYS_sendmsg, fd, header, MSG_DONTWAIT); }

int SendMessages(int fd, mmsghdr* headers, size_t count) {
  return static_cast<int>(syscall(SYS_sendmmsg, fd, headers, count, MSG_DONTWAIT));
}

}  // namespace queuepair
