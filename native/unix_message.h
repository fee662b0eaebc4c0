// Messages over UNIX sockets that bring descriptors along, and descriptors that are closed with their owner.
#pragma once

#include <cstddef>

namespace queuepair {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Whether the process at the other end has our user ID, and it is one that this user namespace has a name for.
bool IsOurUser(int fd);

// The whole message at once, with one descriptor or none (-1). Does not wait.
bool SendWith(int fd, void* message, size_t length, int passed);

// A message is there, or the end.
bool HasMessage(int fd);

// Exactly `length` bytes, and one descriptor for `passed` or, where it is nullptr, none. Whatever else came is closed.
bool ReceiveWith(int fd, void* message, size_t length, Descriptor* passed);

}  // namespace queuepair
