#include "library.h"

#if QUEUEPAIR_HAS_VERBS

#include "../load_library.h"

namespace queuepair {
namespace {

// The name of a function that is missing, or nullptr.
const char* FindAll(void* handle, Library* out) {
#define QUEUEPAIR_FIND(member) \
  if (!FindFunction(handle, "ibv_" #member, &out->member)) return "ibv_" #member
  QUEUEPAIR_FIND(get_device_list);
  QUEUEPAIR_FIND(free_device_list);
  QUEUEPAIR_FIND(get_device_name);
  QUEUEPAIR_FIND(open_device);
  QUEUEPAIR_FIND(close_device);
  QUEUEPAIR_FIND(get_async_event);
  QUEUEPAIR_FIND(ack_async_event);
  QUEUEPAIR_FIND(query_device);
  QUEUEPAIR_FIND(query_port);
  QUEUEPAIR_FIND(alloc_pd);
  QUEUEPAIR_FIND(dealloc_pd);
  QUEUEPAIR_FIND(reg_mr);
  QUEUEPAIR_FIND(dereg_mr);
  QUEUEPAIR_FIND(create_comp_channel);
  QUEUEPAIR_FIND(destroy_comp_channel);
  QUEUEPAIR_FIND(create_cq);
  QUEUEPAIR_FIND(destroy_cq);
  QUEUEPAIR_FIND(get_cq_event);
  QUEUEPAIR_FIND(ack_cq_events);
  QUEUEPAIR_FIND(create_srq);
  QUEUEPAIR_FIND(modify_srq);
  QUEUEPAIR_FIND(destroy_srq);
  QUEUEPAIR_FIND(create_qp);
  QUEUEPAIR_FIND(modify_qp);
  QUEUEPAIR_FIND(query_qp);
  QUEUEPAIR_FIND(destroy_qp);
  QUEUEPAIR_FIND(create_ah);
  QUEUEPAIR_FIND(destroy_ah);
  QUEUEPAIR_FIND(fork_init);
#undef QUEUEPAIR_FIND
  FindFunction(handle, "ibv_reg_mr_iova", &out->reg_mr_iova);
  FindFunction(handle, "_ibv_query_gid_table", &out->query_gid_table);
  return nullptr;
}

const char* Prepare(void* handle, Library* out) {
  const char* const missing = FindAll(handle, out);
  // Before anything else: a program that starts others would on old kernels lose registered pages to its child. Where
  // the kernel copies such pages itself, the library knows and this does nothing.
  if (missing == nullptr) out->fork_init();
  return missing;
}

}  // namespace

const Library* Library::Get() { return LoadedLibrary<Library>::Get(); }

std::string Library::Load(const char* path) { return LoadedLibrary<Library>::Load(path, Prepare); }

}  // namespace queuepair

#endif
