#include "objects.h"

#if QUEUEPAIR_HAS_VERBS

namespace queuepair {

int32_t Objects::Add(std::unique_ptr<Object> object) {
  Object* const added = object.get();
  added->handle = table_.Add(std::move(object));
  return added->handle;
}

void Objects::Remove(int32_t handle) {
  Object* const object = table_.Find(handle);
  if (object == nullptr) return;
  if (object->buffer != nullptr) napi_delete_reference(env_, object->buffer);
  table_.Remove(handle);
}

void Objects::DestroyAll() {
  for (int32_t kind = 0; kind <= static_cast<int32_t>(Kind::kDevice); kind++) {
    table_.ForEach([kind](Object& object) {
      if (static_cast<int32_t>(object.kind) == kind) Destroy(object.kind, object.pointer);
    });
  }
}

int Destroy(Kind kind, void* pointer) {
  const Library& library = *Library::Get();
  errno = 0;
  switch (kind) {
    case Kind::kQp:
      return ErrorOf(library.destroy_qp(static_cast<ibv_qp*>(pointer)));
    case Kind::kSrq:
      return ErrorOf(library.destroy_srq(static_cast<ibv_srq*>(pointer)));
    case Kind::kMw:
      return ErrorOf(ibv_dealloc_mw(static_cast<ibv_mw*>(pointer)));
    case Kind::kAh:
      return ErrorOf(library.destroy_ah(static_cast<ibv_ah*>(pointer)));
    case Kind::kMr:
      return ErrorOf(library.dereg_mr(static_cast<ibv_mr*>(pointer)));
    case Kind::kCq:
      return ErrorOf(library.destroy_cq(static_cast<ibv_cq*>(pointer)));
    case Kind::kChannel:
      return ErrorOf(library.destroy_comp_channel(static_cast<ibv_comp_channel*>(pointer)));
    case Kind::kPd:
      return ErrorOf(library.dealloc_pd(static_cast<ibv_pd*>(pointer)));
    case Kind::kDevice:
      return ErrorOf(library.close_device(static_cast<ibv_context*>(pointer)));
  }
  return EINVAL;
}

}  // namespace queuepair

#endif
