#include "fd_watcher.h"

#include <fcntl.h>

#include <utility>
#include <vector>

namespace queuepair {

FdWatcher* FdWatcher::Start(napi_env env, int fd, napi_value callback, Drain drain) {
  uv_loop_t* loop = nullptr;
  napi_value name;
  napi_value resource;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return nullptr;
  auto* watcher = new FdWatcher(env);
  watcher->drain_ = std::move(drain);
  if (napi_get_uv_event_loop(env, &loop) != napi_ok ||
      napi_create_string_utf8(env, "QUEUEPAIR_WATCH", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_object(env, &resource) != napi_ok ||
      napi_async_init(env, resource, name, &watcher->context_) != napi_ok ||
      napi_create_reference(env, callback, 1, &watcher->callback_) != napi_ok ||
      uv_poll_init(loop, &watcher->poll_, fd) != 0) {
    delete watcher;
    return nullptr;
  }
  watcher->poll_.data = watcher;
  // Whoever made it holds the process, or does not.
  uv_unref(reinterpret_cast<uv_handle_t*>(&watcher->poll_));
  napi_add_async_cleanup_hook(env, OnEnvironmentEnd, watcher, &watcher->hook_);
  uv_poll_start(&watcher->poll_, UV_READABLE,
                [](uv_poll_t* poll, int, int) { static_cast<FdWatcher*>(poll->data)->OnReadable(); });
  return watcher;
}

void FdWatcher::OnReadable() {
  // Everything is taken before JavaScript runs, because JavaScript may stop this watcher.
  std::vector<std::pair<int32_t, int32_t>> reports;
  drain_([&reports](int32_t first, int32_t second) { reports.emplace_back(first, second); });
  for (const auto& [first, second] : reports) {
    if (is_stopped_) return;
    CallBack(first, second);
  }
}

void FdWatcher::CallBack(int32_t first, int32_t second) {
  napi_handle_scope scope;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
  napi_value callback;
  napi_value receiver;
  napi_value arguments[2];
  if (napi_get_reference_value(env_, callback_, &callback) == napi_ok &&
      napi_get_global(env_, &receiver) == napi_ok && napi_create_int32(env_, first, &arguments[0]) == napi_ok &&
      napi_create_int32(env_, second, &arguments[1]) == napi_ok) {
    const napi_status status = napi_make_callback(env_, context_, receiver, callback, 2, arguments, nullptr);
    napi_value error;
    if (status == napi_pending_exception && napi_get_and_clear_last_exception(env_, &error) == napi_ok) {
      napi_fatal_exception(env_, error);
    }
  }
  napi_close_handle_scope(env_, scope);
}

void FdWatcher::Stop() {
  if (is_stopped_) return;
  napi_delete_reference(env_, callback_);
  napi_async_destroy(env_, context_);
  Close();
}

void FdWatcher::Close() {
  is_stopped_ = true;
  uv_poll_stop(&poll_);
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* watcher = static_cast<FdWatcher*>(handle->data);
    napi_remove_async_cleanup_hook(watcher->hook_);
    delete watcher;
  });
}

// JavaScript is over: references and contexts go with it.
void FdWatcher::OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) {
  auto* watcher = static_cast<FdWatcher*>(data);
  if (!watcher->is_stopped_) watcher->Close();
}

}  // namespace queuepair
