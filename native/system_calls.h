// The system calls for every packet, which do not wait. Apart from that they are those of the same names: the C library's
// are points at which a thread may be cancelled, and noting that costs it three times as much as the rest.
#pragma once

#include <sys/socket.h>

#include <cstddef>

namespace queuepair {

// recvmsg, recvmmsg, sendto, sendmsg, sendmmsg; -1 and errno when they fail.
ssize_t ReceiveMessage(int fd, msghdr* header);
int ReceiveMessages(int fd, mmsghdr* headers, size_t count);
ssize_t SendBytes(int fd, const void* bytes, size_t length, const void* to, socklen_t to_length);
ssize_t SendMessage(int fd, const msghdr* header);
int SendMessages(int fd, mmsghdr* headers, size_t count);

}  // namespace queuepair
