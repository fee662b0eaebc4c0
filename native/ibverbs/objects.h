// The verbs objects of one environment, named by handles. JavaScript keeps the order (children before parents, one
// control verb an object at a time); here it is only enforced that a handle names an object of the right kind.
#pragma once

#include "headers.h"

#if QUEUEPAIR_HAS_VERBS

#include <node_api.h>

#include <cerrno>
#include <memory>

#include "../binding.h"
#include "../handle_table.h"
#include "../fd_watcher.h"
#include "library.h"

namespace queuepair {

// In the order in which the end of an environment destroys them.
enum class Kind : int32_t { kQp, kSrq, kMw, kAh, kMr, kCq, kChannel, kPd, kDevice };

struct Object {
  Object(Kind kind_, void* pointer_) : kind(kind_), pointer(pointer_) {}

  Kind kind;
  void* pointer;
  int32_t handle = 0;
  // Channels and devices.
  FdWatcher* watcher = nullptr;
  // Memory regions: the buffer that the device may write to.
  napi_ref buffer = nullptr;
};

// What the fast calls read and write, shared with JavaScript; the layout is in data.cc and src/ibverbs/request-buffer.ts.
struct SharedBuffer {
  uint8_t* bytes = nullptr;
  size_t length = 0;
  napi_ref reference = nullptr;
};

// The completion queue whose polls found nothing last, and how often the next one looks. A send ends the wait.
struct Waiting {
  int32_t cq = 0;
  int looks = 0;
};

class Objects {
 public:
  explicit Objects(napi_env env) : env_(env) {}

  // Destroys everything, in order: the buffers of memory regions go right after.
  void DestroyAll();

  // For a verbs object that exists; its context pointer must already be `object`.
  int32_t Add(std::unique_ptr<Object> object);
  void Remove(int32_t handle);

  // nullptr unless the handle names an object of this kind.
  Object* Find(int32_t handle, Kind kind) const {
    Object* const object = table_.Find(handle);
    return object != nullptr && object->kind == kind ? object : nullptr;
  }
  Object* Find(int32_t handle) const { return table_.Find(handle); }

  template <typename T>
  T* Get(int32_t handle, Kind kind) const {
    Object* const object = Find(handle, kind);
    return object == nullptr ? nullptr : static_cast<T*>(object->pointer);
  }

  SharedBuffer shared;
  Waiting waiting;

 private:
  const napi_env env_;
  HandleTable<Object> table_;
};

// Calls the verb that destroys an object of its kind. Returns an errno.
int Destroy(Kind kind, void* pointer);

// What an errno says that a function of libibverbs left: never 0, so that a failure stays one.
inline int LastError() { return errno != 0 ? errno : EIO; }

// Old providers return a negative errno, or -1 and leave the number in errno.
inline int ErrorOf(int result) {
  if (result == 0) return 0;
  if (result == -1) return LastError();
  return result < 0 ? -result : result;
}

void RegisterDevices(napi_env env, napi_value exports, Objects* objects);
void RegisterResources(napi_env env, napi_value exports, Objects* objects);
void RegisterQueuePairs(napi_env env, napi_value exports, Objects* objects);
void RegisterData(napi_env env, napi_value exports, Objects* objects);

}  // namespace queuepair

#endif
