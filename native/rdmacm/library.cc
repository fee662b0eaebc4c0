#include "library.h"

#if QUEUEPAIR_HAS_RDMACM

#include "../load_library.h"

namespace queuepair {
namespace {

// The name of a function that is missing, or nullptr.
const char* FindAll(void* handle, CmLibrary* out) {
#define QUEUEPAIR_FIND(member) \
  if (!FindFunction(handle, "rdma_" #member, &out->member)) return "rdma_" #member
  QUEUEPAIR_FIND(create_event_channel);
  QUEUEPAIR_FIND(destroy_event_channel);
  QUEUEPAIR_FIND(get_cm_event);
  QUEUEPAIR_FIND(ack_cm_event);
  QUEUEPAIR_FIND(create_id);
  QUEUEPAIR_FIND(destroy_id);
  QUEUEPAIR_FIND(set_option);
  QUEUEPAIR_FIND(bind_addr);
  QUEUEPAIR_FIND(listen);
  QUEUEPAIR_FIND(resolve_addr);
  QUEUEPAIR_FIND(resolve_route);
  QUEUEPAIR_FIND(init_qp_attr);
  QUEUEPAIR_FIND(connect);
  QUEUEPAIR_FIND(accept);
  QUEUEPAIR_FIND(establish);
  QUEUEPAIR_FIND(reject);
  QUEUEPAIR_FIND(disconnect);
  QUEUEPAIR_FIND(notify);
#undef QUEUEPAIR_FIND
  return nullptr;
}

}  // namespace

const CmLibrary* CmLibrary::Get() { return LoadedLibrary<CmLibrary>::Get(); }

std::string CmLibrary::Load(const char* path) { return LoadedLibrary<CmLibrary>::Load(path, FindAll); }

}  // namespace queuepair

#endif
