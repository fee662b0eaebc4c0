#include "ring.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>

namespace queuepair {
namespace {

constexpr size_t kWordsBytes = 4096;
constexpr size_t kFileBytes = kWordsBytes + kRingBytes;
constexpr size_t kMappedBytes = kFileBytes + kRingBytes;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr unsigned kNoExecSeal = 8;

// In front of each packet.
struct Entry {
  uint16_t length;
  uint8_t traffic_class;
  uint8_t hop_limit;
  uint32_t unused;
};
static_assert(sizeof(Entry) == 8 && kRingPacketBytes <= UINT16_MAX);
static_assert(sizeof(RingWords) <= kWordsBytes && (kRingBytes & (kRingBytes - 1)) == 0);

constexpr uint32_t kAlignment = 16;

uint32_t EntryBytes(size_t length) {
  return static_cast<uint32_t>((sizeof(Entry) + length + kAlignment - 1) & ~size_t{kAlignment - 1});
}

int CreateMemory() {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int fd = memfd_create("queuepair-ring", flags | kNoExecSeal);
  // Linux knows that flag since 6.3.
  return fd >= 0 ? fd : memfd_create("queuepair-ring", flags);
}

}  // namespace

std::unique_ptr<RingMemory> RingMemory::Create(int* out) {
  const int fd = CreateMemory();
  if (fd < 0) return nullptr;
  std::unique_ptr<RingMemory> memory;
  // All of it at once: a page that the system cannot give later would end the process.
  if (ftruncate(fd, kFileBytes) == 0 && fallocate(fd, 0, 0, kFileBytes) == 0 && fcntl(fd, F_ADD_SEALS, kSeals) == 0) {
    memory = Map(fd);
  }
  if (memory == nullptr) close(fd);
  else *out = fd;
  return memory;
}

std::unique_ptr<RingMemory> RingMemory::Adopt(int fd) {
  struct stat facts;
  struct statfs system;
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return nullptr;
  if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size != kFileBytes) return nullptr;
  // Huge pages can be sealed as well, and their pool can be empty.
  if (fstatfs(fd, &system) != 0 || system.f_type != TMPFS_MAGIC) return nullptr;
  return Map(fd);
}

std::unique_ptr<RingMemory> RingMemory::Map(int fd) {
  void* const base = mmap(nullptr, kMappedBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  auto* const bytes = static_cast<uint8_t*>(base);
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  constexpr int kFlags = MAP_SHARED | MAP_FIXED;
  if (mmap(bytes, kFileBytes, kAccess, kFlags, fd, 0) == MAP_FAILED ||
      mmap(bytes + kFileBytes, kRingBytes, kAccess, kFlags, fd, kWordsBytes) == MAP_FAILED) {
    munmap(base, kMappedBytes);
    return nullptr;
  }
  return std::unique_ptr<RingMemory>(new RingMemory(bytes));
}

RingMemory::~RingMemory() { munmap(base_, kMappedBytes); }

uint8_t* RingMemory::At(uint32_t position) const { return base_ + kWordsBytes + (position & (kRingBytes - 1)); }

uint8_t* RingWriter::Reserve(size_t length) {
  const uint32_t needed = EntryBytes(length);
  // A reader that claims to have taken what was never written makes the ring look overfull, and nothing is written.
  const auto has_room = [this, needed] { return written_ - taken_ + needed <= kRingBytes; };
  if (!has_room()) {
    const uint32_t taken = __atomic_load_n(&memory_.words()->taken, __ATOMIC_ACQUIRE);
    if (written_ - taken > kRingBytes) return nullptr;
    taken_ = taken;
    if (!has_room()) return nullptr;
  }
  return memory_.At(written_) + sizeof(Entry);
}

void RingWriter::Commit(size_t length, uint8_t traffic_class, uint8_t hop_limit) {
  const Entry entry{static_cast<uint16_t>(length), traffic_class, hop_limit, 0};
  std::memcpy(memory_.At(written_), &entry, sizeof(entry));
  written_ += EntryBytes(length);
}

void RingWriter::Publish() { __atomic_store_n(&memory_.words()->written, written_, __ATOMIC_RELEASE); }

bool RingWriter::TakeSleeper() {
  // Against the order in SetSleeping: one of both sees what the other wrote.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  uint32_t* const word = &memory_.words()->is_sleeping;
  if (__atomic_load_n(word, __ATOMIC_RELAXED) == 0) return false;
  return __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) != 0;
}

bool RingReader::HasNews() const {
  return __atomic_load_n(&memory_.words()->written, __ATOMIC_ACQUIRE) != taken_;
}

void RingReader::Begin() {
  written_ = __atomic_load_n(&memory_.words()->written, __ATOMIC_ACQUIRE);
  const uint32_t there = written_ - taken_;
  if (there > kRingBytes || there % kAlignment != 0) Fail();
}

bool RingReader::Take(uint8_t* out, RingPacket* packet) {
  const uint32_t there = written_ - taken_;
  if (there == 0) return false;
  const uint8_t* const at = memory_.At(taken_);
  // One load, and from here on a copy: the writer may change it meanwhile.
  const uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(at), __ATOMIC_RELAXED);
  Entry entry;
  std::memcpy(&entry, &word, sizeof(entry));
  if (entry.length == 0 || entry.length > kRingPacketBytes || EntryBytes(entry.length) > there) {
    Fail();
    return false;
  }
  std::memcpy(out, at + sizeof(Entry), entry.length);
  *packet = {entry.length, entry.traffic_class, entry.hop_limit};
  taken_ += EntryBytes(entry.length);
  return true;
}

void RingReader::End() { __atomic_store_n(&memory_.words()->taken, taken_, __ATOMIC_RELEASE); }

void RingReader::Fail() {
  has_fault_ = true;
  taken_ = written_;
}

void RingReader::SetSleeping(bool is_sleeping) {
  uint32_t* const word = &memory_.words()->is_sleeping;
  if (!is_sleeping) {
    __atomic_store_n(word, 0, __ATOMIC_RELAXED);
    return;
  }
  __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

}  // namespace queuepair
