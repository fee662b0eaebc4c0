// The bytes of an input, taken from the front as numbers; zeros without end follow, so 0 chooses what is usual.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace queuepair {

class Input {
 public:
  Input(const uint8_t* bytes, size_t length) : bytes_(bytes), left_(length) {}

  template <typename T>
  T Take() {
    T value{};
    TakeBytes(reinterpret_cast<uint8_t*>(&value), sizeof(value));
    return value;
  }

  // In [0, n).
  size_t Below(size_t n) { return Take<uint16_t>() % n; }

  // True once in n times.
  bool OneIn(size_t n) { return Below(n) == n - 1; }

  void TakeBytes(uint8_t* out, size_t length) {
    const size_t taken = std::min(length, left_);
    if (taken > 0) std::memcpy(out, bytes_, taken);
    std::memset(out + taken, 0, length - taken);
    bytes_ += taken;
    left_ -= taken;
  }

  size_t left() const { return left_; }

 private:
  const uint8_t* bytes_;
  size_t left_;
};

// What must hold whatever comes in.
inline void Must(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace queuepair
