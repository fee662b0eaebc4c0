// CRC-32 by carry-less multiplication, on processors of the x86 family that have it.
//
// This part works on polynomials over GF(2) in the bit order of this CRC: the lowest bit of the first byte is
// the coefficient of the highest power. A block A of 128 bits, D bits ahead of where it shall be added, is replaced by
// A * x^D mod P: its halves are multiplied by constants of 32 bits that depend on D alone, which gives 128 bits again.
// Four such chains run side by side. What is left at the end, 16 bytes that have the same remainder as everything
// before, becomes 8 bytes in the same way and then, by Barrett's reduction, the remainder. Registers of 256 or 512 bits
// hold two or four neighbouring blocks, which move together; what is left of those is folded into one block. An end
// shorter than a block makes a whole one together with the last bytes of what was folded, and the first bytes of that
// move behind it.
#include "crc32.h"

#include <cstring>

#if defined(__x86_64__) || defined(__i386__)

#include <cpuid.h>
#include <immintrin.h>

#include "polynomial.h"

namespace queuepair {
namespace {


// x^power mod P.
constexpr uint32_t PowerOfX(unsigned power) {
  uint32_t value = kOne;
  for (unsigned i = 0; i < power; i++) value = TimesX(value);
  return value;
}

// The constants that move a block by `bits`, for its first and its second half. They stand in the upper halves of
// words of 64 bits, and are one power lower than the distance because the product of two such words comes out shifted
// by one.
constexpr uint64_t FirstHalf(unsigned bits) { return static_cast<uint64_t>(PowerOfX(bits + 64 - 1)) << 32; }
constexpr uint64_t SecondHalf(unsigned bits) { return static_cast<uint64_t>(PowerOfX(bits - 1)) << 32; }

// A word of 33 bits, the lowest the coefficient of x^32, for what is not shifted by one.
constexpr uint64_t Shifted(unsigned power) { return static_cast<uint64_t>(PowerOfX(power)) << 1; }
constexpr uint64_t kShiftedPolynomial = static_cast<uint64_t>(kPolynomial) << 1 | 1;

// x^64 / P, without the rest: what Barrett multiplies by instead of dividing.
constexpr uint64_t ShiftedQuotient() {
  uint64_t quotient = 0;
  // The coefficients of x^64 to x^32, that of the highest power in bit 0.
  uint64_t rest = 1;
  for (unsigned bit = 0; bit <= 32; bit++) {
    if ((rest >> bit & 1) == 0) continue;
    quotient |= uint64_t{1} << bit;
    rest ^= kShiftedPolynomial << bit;
  }
  return quotient;
}

constexpr size_t kBlock = 16;

#define QUEUEPAIR_CLMUL __attribute__((target("pclmul,sse4.1")))

QUEUEPAIR_CLMUL inline __m128i Constants(uint64_t first, uint64_t second) {
  return _mm_set_epi64x(static_cast<int64_t>(second), static_cast<int64_t>(first));
}

QUEUEPAIR_CLMUL inline __m128i Load(const uint8_t* bytes) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

QUEUEPAIR_CLMUL inline __m128i Fold(__m128i block, __m128i constants, __m128i next) {
  const __m128i first = _mm_clmulepi64_si128(block, constants, 0x00);
  const __m128i second = _mm_clmulepi64_si128(block, constants, 0x11);
  return _mm_xor_si128(_mm_xor_si128(first, second), next);
}

// The register after the 16 bytes of `block`, from 0.
QUEUEPAIR_CLMUL inline uint32_t Reduce(__m128i block) {
  const __m128i low_word = _mm_cvtsi32_si128(-1);
  const __m128i steps = Constants(Shifted(96), Shifted(64));
  const __m128i barrett = Constants(ShiftedQuotient(), kShiftedPolynomial);
  // The first 8 bytes move to behind the second, then the first 4 of the 12.
  block = _mm_xor_si128(_mm_srli_si128(block, 8), _mm_clmulepi64_si128(block, steps, 0x00));
  const __m128i first = _mm_and_si128(block, low_word);
  block = _mm_xor_si128(_mm_srli_si128(block, 4), _mm_clmulepi64_si128(first, steps, 0x10));
  __m128i multiple = _mm_clmulepi64_si128(_mm_and_si128(block, low_word), barrett, 0x00);
  multiple = _mm_clmulepi64_si128(_mm_and_si128(multiple, low_word), barrett, 0x10);
  return static_cast<uint32_t>(_mm_extract_epi32(_mm_xor_si128(block, multiple), 1));
}

// Which bytes of a block a shuffle takes, from item n on: the last n to the end, or, 16 items later, those behind the
// first n to the beginning. What has no such byte gets 0.
alignas(kBlock) constexpr uint8_t kShuffles[3 * kBlock] = {
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,  //
    0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,    //
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

// Folds the last `length` bytes before `end` into `sum`: more than none and less than a block, with a block's worth of
// memory before the end.
QUEUEPAIR_CLMUL inline __m128i FoldEnd(__m128i sum, __m128i by_block, const uint8_t* end, size_t length) {
  const __m128i to_end = Load(kShuffles + length);
  const __m128i to_begin = Load(kShuffles + kBlock + length);
  // The highest bits of `to_begin` say where the end's own bytes go.
  const __m128i next = _mm_blendv_epi8(_mm_shuffle_epi8(sum, to_begin), Load(end - kBlock), to_begin);
  return Fold(_mm_shuffle_epi8(sum, to_end), by_block, next);
}

// The register after `sum` and the rest of the bytes, which have at least a block before them.
QUEUEPAIR_CLMUL inline uint32_t Finish(__m128i sum, __m128i by_block, const uint8_t* bytes, size_t length) {
  for (; length >= kBlock; bytes += kBlock, length -= kBlock) sum = Fold(sum, by_block, Load(bytes));
  if (length > 0) sum = FoldEnd(sum, by_block, bytes + length, length);
  return Reduce(sum);
}

// What the processor has and the system saves when it changes between threads. Asked for by hand: what compilers have for it needs
// a symbol of their runtime library that not all of them bring for shared objects.
struct Processor {
  bool folds = false;
  bool folds256 = false;
  bool folds512 = false;

  Processor() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return;
    folds = (c & bit_PCLMUL) != 0 && (c & bit_SSE4_1) != 0;
    if (!folds || (c & bit_OSXSAVE) == 0) return;
    unsigned saved = 0, upper = 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(upper) : "c"(0));
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return;
    constexpr unsigned kSaved256 = 0x06, kSaved512 = 0xe6, kVpclmulqdq = 1u << 10;
    folds256 = (saved & kSaved256) == kSaved256 && (b & bit_AVX2) != 0 && (c & kVpclmulqdq) != 0;
    folds512 = folds256 && (saved & kSaved512) == kSaved512 && (b & bit_AVX512F) != 0;
  }
};

const Processor& ThisProcessor() {
  static const Processor processor;
  return processor;
}

}  // namespace

bool Crc32FoldingAvailable() { return ThisProcessor().folds; }

bool Crc32Wide256Available() { return ThisProcessor().folds256; }

bool Crc32Wide512Available() { return ThisProcessor().folds512; }

QUEUEPAIR_CLMUL uint32_t Crc32Folding(uint32_t crc, const uint8_t* bytes, size_t length) {
  if (length < kBlock) return Crc32Portable(crc, bytes, length);
  const __m128i by_block = Constants(FirstHalf(128), SecondHalf(128));
  __m128i sum = _mm_xor_si128(Load(bytes), _mm_cvtsi32_si128(static_cast<int32_t>(crc)));
  if (length >= 8 * kBlock) {
    const __m128i by_four = Constants(FirstHalf(512), SecondHalf(512));
    __m128i lane1 = Load(bytes + kBlock);
    __m128i lane2 = Load(bytes + 2 * kBlock);
    __m128i lane3 = Load(bytes + 3 * kBlock);
    for (bytes += 4 * kBlock, length -= 4 * kBlock; length >= 4 * kBlock; length -= 4 * kBlock) {
      sum = Fold(sum, by_four, Load(bytes));
      lane1 = Fold(lane1, by_four, Load(bytes + kBlock));
      lane2 = Fold(lane2, by_four, Load(bytes + 2 * kBlock));
      lane3 = Fold(lane3, by_four, Load(bytes + 3 * kBlock));
      bytes += 4 * kBlock;
    }
    sum = Fold(Fold(Fold(sum, by_block, lane1), by_block, lane2), by_block, lane3);
  } else {
    bytes += kBlock;
    length -= kBlock;
  }
  return Finish(sum, by_block, bytes, length);
}

namespace {

#define QUEUEPAIR_WIDE256 __attribute__((target("avx2,vpclmulqdq,pclmul,sse4.1")))

QUEUEPAIR_WIDE256 inline __m256i Load256(const uint8_t* bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
}

QUEUEPAIR_WIDE256 inline __m256i Fold256(__m256i blocks, __m256i constants, __m256i next) {
  const __m256i first = _mm256_clmulepi64_epi128(blocks, constants, 0x00);
  const __m256i second = _mm256_clmulepi64_epi128(blocks, constants, 0x11);
  return _mm256_xor_si256(_mm256_xor_si256(first, second), next);
}

// The register after `sum` and the rest of the bytes, which have at least a block before them.
QUEUEPAIR_WIDE256 inline uint32_t Finish256(__m256i sum, const uint8_t* bytes, size_t length) {
  constexpr size_t kBlocks = 2 * kBlock;
  const __m256i by_one = _mm256_broadcastsi128_si256(Constants(FirstHalf(256), SecondHalf(256)));
  const __m128i by_block = Constants(FirstHalf(128), SecondHalf(128));
  for (; length >= kBlocks; bytes += kBlocks, length -= kBlocks) sum = Fold256(sum, by_one, Load256(bytes));
  const __m128i narrow = Fold(_mm256_castsi256_si128(sum), by_block, _mm256_extracti128_si256(sum, 1));
  return Finish(narrow, by_block, bytes, length);
}

}  // namespace

QUEUEPAIR_WIDE256 uint32_t Crc32Wide256(uint32_t crc, const uint8_t* bytes, size_t length) {
  constexpr size_t kBlocks = 2 * kBlock;
  // Below that, the way back to narrow registers costs more than the wide ones save.
  if (length < 8 * kBlocks) return Crc32Folding(crc, bytes, length);
  const __m256i by_four = _mm256_broadcastsi128_si256(Constants(FirstHalf(1024), SecondHalf(1024)));
  const __m256i by_one = _mm256_broadcastsi128_si256(Constants(FirstHalf(256), SecondHalf(256)));
  __m256i sum = _mm256_zextsi128_si256(_mm_cvtsi32_si128(static_cast<int32_t>(crc)));
  sum = _mm256_xor_si256(Load256(bytes), sum);
  __m256i lane1 = Load256(bytes + kBlocks);
  __m256i lane2 = Load256(bytes + 2 * kBlocks);
  __m256i lane3 = Load256(bytes + 3 * kBlocks);
  for (bytes += 4 * kBlocks, length -= 4 * kBlocks; length >= 4 * kBlocks; length -= 4 * kBlocks) {
    sum = Fold256(sum, by_four, Load256(bytes));
    lane1 = Fold256(lane1, by_four, Load256(bytes + kBlocks));
    lane2 = Fold256(lane2, by_four, Load256(bytes + 2 * kBlocks));
    lane3 = Fold256(lane3, by_four, Load256(bytes + 3 * kBlocks));
    bytes += 4 * kBlocks;
  }
  sum = Fold256(Fold256(Fold256(sum, by_one, lane1), by_one, lane2), by_one, lane3);
  return Finish256(sum, bytes, length);
}

namespace {

#define QUEUEPAIR_WIDE512 __attribute__((target("avx512f,avx2,vpclmulqdq,pclmul,sse4.1")))

QUEUEPAIR_WIDE512 inline __m512i Load512(const uint8_t* bytes) { return _mm512_loadu_si512(bytes); }

QUEUEPAIR_WIDE512 inline __m512i Fold512(__m512i blocks, __m512i constants, __m512i next) {
  const __m512i first = _mm512_clmulepi64_epi128(blocks, constants, 0x00);
  const __m512i second = _mm512_clmulepi64_epi128(blocks, constants, 0x11);
  return _mm512_xor_si512(_mm512_xor_si512(first, second), next);
}

}  // namespace

namespace {

// The register after the bytes, which are at least four times four blocks; with `kCopies` they are also written to `to`.
template <bool kCopies>
QUEUEPAIR_WIDE512 inline uint32_t Sum512(uint32_t crc, const uint8_t* bytes, uint8_t* to, size_t length) {
  constexpr size_t kBlocks = 4 * kBlock;
  const auto next = [&](size_t at) QUEUEPAIR_WIDE512 {
    const __m512i blocks = Load512(bytes + at);
    if (kCopies) _mm512_storeu_si512(to + at, blocks);
    return blocks;
  };
  const __m512i by_four = _mm512_broadcast_i32x4(Constants(FirstHalf(2048), SecondHalf(2048)));
  const __m512i by_one = _mm512_broadcast_i32x4(Constants(FirstHalf(512), SecondHalf(512)));
  const __m256i by_half = _mm256_broadcastsi128_si256(Constants(FirstHalf(256), SecondHalf(256)));
  const __m128i seed = _mm_cvtsi32_si128(static_cast<int32_t>(crc));
  __m512i sum = _mm512_xor_si512(next(0), _mm512_inserti32x4(_mm512_setzero_si512(), seed, 0));
  __m512i lane1 = next(kBlocks);
  __m512i lane2 = next(2 * kBlocks);
  __m512i lane3 = next(3 * kBlocks);
  size_t at = 4 * kBlocks;
  for (; length - at >= 4 * kBlocks; at += 4 * kBlocks) {
    sum = Fold512(sum, by_four, next(at));
    lane1 = Fold512(lane1, by_four, next(at + kBlocks));
    lane2 = Fold512(lane2, by_four, next(at + 2 * kBlocks));
    lane3 = Fold512(lane3, by_four, next(at + 3 * kBlocks));
  }
  sum = Fold512(Fold512(Fold512(sum, by_one, lane1), by_one, lane2), by_one, lane3);
  for (; length - at >= kBlocks; at += kBlocks) sum = Fold512(sum, by_one, next(at));
  if (kCopies) {
    std::memcpy(to + at, bytes + at, length - at);
    bytes = to;
  }
  const __m256i low = _mm512_castsi512_si256(sum);
  return Finish256(Fold256(low, by_half, _mm512_extracti64x4_epi64(sum, 1)), bytes + at, length - at);
}

// Below that, the way back to narrow registers costs more than the wide ones save.
constexpr size_t kLeast512 = 8 * 4 * kBlock;

}  // namespace

QUEUEPAIR_WIDE512 uint32_t Crc32Wide512(uint32_t crc, const uint8_t* bytes, size_t length) {
  return length < kLeast512 ? Crc32Wide256(crc, bytes, length) : Sum512<false>(crc, bytes, nullptr, length);
}

QUEUEPAIR_WIDE512 uint32_t Crc32Copy512(uint32_t crc, uint8_t* to, const uint8_t* bytes, size_t length) {
  if (length >= kLeast512) return Sum512<true>(crc, bytes, to, length);
  std::memcpy(to, bytes, length);
  return Crc32Wide256(crc, to, length);
}

#else

namespace queuepair {

bool Crc32FoldingAvailable() { return false; }
bool Crc32Wide256Available() { return false; }
bool Crc32Wide512Available() { return false; }

uint32_t Crc32Folding(uint32_t crc, const uint8_t* bytes, size_t length) {
  return Crc32Portable(crc, bytes, length);
}

uint32_t Crc32Wide256(uint32_t crc, const uint8_t* bytes, size_t length) {
  return Crc32Portable(crc, bytes, length);
}

uint32_t Crc32Wide512(uint32_t crc, const uint8_t* bytes, size_t length) {
  return Crc32Portable(crc, bytes, length);
}

uint32_t Crc32Copy512(uint32_t crc, uint8_t* to, const uint8_t* bytes, size_t length) {
  std::memcpy(to, bytes, length);
  return Crc32Portable(crc, to, length);
}

#endif

}  // namespace queuepair
