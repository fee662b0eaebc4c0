// A ring whose other end writes anything at any time. RingReader must take no packet that is too long or not there, write
// nothing but its packet, and stay in the ring; RingWriter must never write over what an honest reader has not taken.
#include <unistd.h>

#include <memory>
#include <vector>

#include "../ring.h"
#include "input.h"

namespace {

using namespace queuepair;

constexpr uint8_t kUntouched = 0xa5;

// What the other end may do to the words and the packets.
void Scribble(Input* input, const RingMemory& memory) {
  RingWords& words = *memory.words();
  switch (input->Below(8)) {
    case 0:
      words.written = input->Take<uint32_t>();
      break;
    case 1:
      words.written += static_cast<uint32_t>(input->Below(300) * 16);
      break;
    case 2:
      words.written += static_cast<uint32_t>(input->Below(64));
      break;
    case 3:
      words.taken = input->Take<uint32_t>();
      break;
    case 4:
      words.is_sleeping = input->Take<uint32_t>();
      break;
    default: {
      const auto length = input->OneIn(4) ? input->Take<uint16_t>() : static_cast<uint16_t>(input->Below(4300));
      std::memcpy(memory.At(words.written + static_cast<uint32_t>(input->Below(64) * 16)), &length, sizeof(length));
    }
  }
}

void TakeAll(RingReader* reader) {
  std::vector<uint8_t> out(kRingPacketBytes + 64, kUntouched);
  RingPacket packet;
  size_t bytes = 0;
  reader->Begin();
  while (reader->Take(out.data(), &packet)) {
    Must(packet.length > 0 && packet.length <= kRingPacketBytes, "a packet has a length that packets have");
    bytes += packet.length;
    Must(bytes <= kRingBytes, "no more comes out than the ring holds");
  }
  for (size_t i = kRingPacketBytes; i < out.size(); i++) Must(out[i] == kUntouched, "nothing is written behind a packet");
  reader->End();
}

void Write(Input* input, RingWriter* writer) {
  const size_t length = 1 + input->Below(kRingPacketBytes);
  uint8_t* const at = writer->Reserve(length);
  if (at == nullptr) return;
  std::memset(at, 1, length);
  writer->Commit(length, 0, 64);
  writer->Publish();
  writer->TakeSleeper();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  Input input(bytes, length);
  int fd = -1;
  const std::unique_ptr<RingMemory> ours = RingMemory::Create(&fd);
  Must(ours != nullptr, "there is memory");
  const std::unique_ptr<RingMemory> theirs = RingMemory::Adopt(fd);
  close(fd);
  Must(theirs != nullptr, "sealed memory of the right size is taken");
  RingWriter writer(*ours);
  RingReader reader(*theirs);
  // Honest ends among themselves first: what goes in comes out.
  RingPacket packet;
  std::vector<uint8_t> out(kRingPacketBytes);
  for (size_t i = input.Below(600); i > 0; i--) {
    Write(&input, &writer);
    reader.Begin();
    Must(reader.Take(out.data(), &packet) && out[packet.length - 1] == 1, "an honest packet comes out");
    reader.End();
    Must(!reader.has_fault() && !reader.HasNews(), "and nothing else");
  }
  while (input.left() > 0 && !reader.has_fault()) {
    if (input.OneIn(3)) Write(&input, &writer);
    else Scribble(&input, *ours);
    if (input.OneIn(2)) TakeAll(&reader);
  }
  return 0;
}
