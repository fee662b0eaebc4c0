// crc32, crc32Portable, crc32Folding, crc32Wide256, crc32Wide512, crc32Copy (bytes, at, end, seed): as src/roce/wire/crc32.ts has
// it, finished values in and out. The three before the last are only there if this processor has what they need.
#include <cstring>
#include <vector>

#include "binding.h"
#include "crc32.h"

namespace queuepair {
namespace {

using Function = uint32_t (*)(uint32_t, const uint8_t*, size_t);

template <Function kFunction>
napi_value Crc(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  void* bytes;
  size_t length;
  int32_t at;
  int32_t end;
  uint32_t seed;
  if (!arguments.ok || !arguments.Array(0, napi_uint8_array, &bytes, &length) || !arguments.Int(1, &at) ||
      !arguments.Int(2, &end) || napi_get_value_uint32(env, arguments.values[3], &seed) != napi_ok) {
    return nullptr;
  }
  if (at < 0 || end < at || static_cast<size_t>(end) > length) return nullptr;
  const uint32_t crc = ~kFunction(~seed, static_cast<const uint8_t*>(bytes) + at, static_cast<size_t>(end - at));
  napi_value result = nullptr;
  napi_create_uint32(env, crc, &result);
  return result;
}

// The sum of a copy, as the sender of packets makes it; wrong if that differs from the bytes.
uint32_t Copied(uint32_t crc, const uint8_t* bytes, size_t length) {
  std::vector<uint8_t> copy(length + 1, 0x5a);
  const uint32_t sum = Crc32Copy(crc, copy.data(), bytes, length);
  const bool is_same = std::memcmp(copy.data(), bytes, length) == 0 && copy[length] == 0x5a;
  return is_same ? sum : ~sum;
}

}  // namespace

void RegisterCrc(napi_env env, napi_value exports) {
  SetFunction(env, exports, "crc32", Crc<Crc32>, nullptr);
  SetFunction(env, exports, "crc32Copy", Crc<Copied>, nullptr);
  SetFunction(env, exports, "crc32Portable", Crc<Crc32Portable>, nullptr);
  if (Crc32FoldingAvailable()) SetFunction(env, exports, "crc32Folding", Crc<Crc32Folding>, nullptr);
  if (Crc32Wide256Available()) SetFunction(env, exports, "crc32Wide256", Crc<Crc32Wide256>, nullptr);
  if (Crc32Wide512Available()) SetFunction(env, exports, "crc32Wide512", Crc<Crc32Wide512>, nullptr);
}

}  // namespace queuepair
