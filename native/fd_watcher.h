// Calls JavaScript when a file descriptor becomes readable, without blocking a thread: completion channels,
// asynchronous events, and what the kernel tells about network interfaces.
//
// Life: made by `Start`, from then on owned by the event loop. `Stop` (by whoever made it, or by the end of the
// environment) ends the watch at once, so that the descriptor may be closed; the memory goes when the loop lets go.
#pragma once

#include <node_api.h>
#include <uv.h>

#include <functional>

namespace queuepair {

class FdWatcher {
 public:
  // Hands out what is to be reported: calls its argument once for each.
  using Report = std::function<void(int32_t first, int32_t second)>;
  using Drain = std::function<void(const Report&)>;

  // `drain` runs when the descriptor is readable, and every report becomes a call of `callback` with two integers.
  // Makes the descriptor non-blocking. nullptr when the event loop refuses.
  static FdWatcher* Start(napi_env env, int fd, napi_value callback, Drain drain);

  void Stop();

 private:
  explicit FdWatcher(napi_env env) : env_(env) {}
  ~FdWatcher() = default;

  void OnReadable();
  void CallBack(int32_t first, int32_t second);
  void Close();
  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* watcher);

  const napi_env env_;
  Drain drain_;
  napi_ref callback_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uv_poll_t poll_{};
  bool is_stopped_ = false;
};

}  // namespace queuepair
