#include "library.h"

#if QUEUEPAIR_HAS_VERBS

#include <dlfcn.h>

#include <mutex>

namespace queuepair {
namespace {

std::mutex load_mutex;
Library library;
bool is_loaded = false;

template <typename Function>
bool Find(void* handle, const char* name, Function* out) {
  *out = reinterpret_cast<Function>(dlsym(handle, name));
  return *out != nullptr;
}

// The name of a function that is missing, or nullptr.
const char* FindAll(void* handle, Library* out) {
#define QUEUEPAIR_FIND(member) \
  if (!Find(handle, "ibv_" #member, &out->member)) return "ibv_" #member
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
  Find(handle, "ibv_reg_mr_iova", &out->reg_mr_iova);
  Find(handle, "_ibv_query_gid_table", &out->query_gid_table);
  return nullptr;
}

}  // namespace

const Library* Library::Get() { return is_loaded ? &library : nullptr; }

std::string Library::Load(const char* path) {
  const std::lock_guard<std::mutex> lock(load_mutex);
  if (is_loaded) return "";
  void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return dlerror();
  const char* const missing = FindAll(handle, &library);
  if (missing != nullptr) {
    dlclose(handle);
    return std::string(path) + " has no function " + missing;
  }
  // Before anything else: a program that starts others would on old kernels lose registered pages to its child. Where
  // the kernel copies such pages itself, the library knows and this does nothing.
  library.fork_init();
  is_loaded = true;
  return "";
}

}  // namespace queuepair

#endif
