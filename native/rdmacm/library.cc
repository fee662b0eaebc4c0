#include "library.h"

#if QUEUEPAIR_HAS_RDMACM

#include <dlfcn.h>

#include <mutex>

namespace queuepair {
namespace {

std::mutex load_mutex;
CmLibrary library;
bool is_loaded = false;

template <typename Function>
bool Find(void* handle, const char* name, Function* out) {
  *out = reinterpret_cast<Function>(dlsym(handle, name));
  return *out != nullptr;
}

// The name of a function that is missing, or nullptr.
const char* FindAll(void* handle, CmLibrary* out) {
#define QUEUEPAIR_FIND(member) \
  if (!Find(handle, "rdma_" #member, &out->member)) return "rdma_" #member
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

const CmLibrary* CmLibrary::Get() { return is_loaded ? &library : nullptr; }

std::string CmLibrary::Load(const char* path) {
  const std::lock_guard<std::mutex> lock(load_mutex);
  if (is_loaded) return "";
  void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return dlerror();
  const char* const missing = FindAll(handle, &library);
  if (missing != nullptr) {
    dlclose(handle);
    return std::string(path) + " has no function " + missing;
  }
  is_loaded = true;
  return "";
}

}  // namespace queuepair

#endif
