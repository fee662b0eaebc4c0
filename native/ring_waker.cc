#include "ring_waker.h"

namespace queuepair {

RingWaker* RingWaker::Start(napi_env env, RingHub* hub, std::function<void()> on_news) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
  auto* waker = new RingWaker(hub, std::move(on_news));
  if (uv_poll_init(loop, &waker->poll_, hub->fd()) != 0) {
    delete waker;
    return nullptr;
  }
  uv_prepare_init(loop, &waker->prepare_);
  uv_check_init(loop, &waker->check_);
  uv_idle_init(loop, &waker->idle_);
  waker->handles_ = 4;
  waker->poll_.data = waker->prepare_.data = waker->check_.data = waker->idle_.data = waker;
  // The port stops it, and the environment waits until the hook is removed.
  const auto on_end = [](napi_async_cleanup_hook_handle, void*) {};
  napi_add_async_cleanup_hook(env, on_end, waker, &waker->hook_);
  uv_poll_start(&waker->poll_, UV_READABLE, [](uv_poll_t* poll, int, int) {
    auto* const self = static_cast<RingWaker*>(poll->data);
    if (!self->is_stopped_) self->hub_->Maintain();
  });
  uv_prepare_start(&waker->prepare_, [](uv_prepare_t* handle) { static_cast<RingWaker*>(handle->data)->BeforeWait(); });
  uv_check_start(&waker->check_, [](uv_check_t* handle) { static_cast<RingWaker*>(handle->data)->AfterWait(); });
  // The socket of the port keeps the loop alive, and nothing else.
  uv_unref(reinterpret_cast<uv_handle_t*>(&waker->poll_));
  uv_unref(reinterpret_cast<uv_handle_t*>(&waker->prepare_));
  uv_unref(reinterpret_cast<uv_handle_t*>(&waker->check_));
  return waker;
}

void RingWaker::BeforeWait() {
  // Only the owner knows whether the loop will wait: uv_backend_timeout() is 0 as well while a watcher is to be added, and
  // then the loop waits without end.
  if (is_stopped_ || !is_listening_ || is_turning_) return;
  is_sleeping_ = true;
  hub_->SetSleeping(true);
  // Who has written before it could see that woke nobody.
  if (hub_->HasNews()) uv_idle_start(&idle_, [](uv_idle_t*) {});
}

void RingWaker::AfterWait() {
  if (is_stopped_) return;
  if (is_sleeping_) {
    is_sleeping_ = false;
    hub_->SetSleeping(false);
    uv_idle_stop(&idle_);
  }
  if (is_listening_ && !is_turning_ && hub_->HasNews()) on_news_();
}

void RingWaker::Stop() {
  if (is_stopped_) return;
  is_stopped_ = true;
  hub_ = nullptr;
  const auto let_go = [](uv_handle_t* handle) { static_cast<RingWaker*>(handle->data)->LetGo(handle); };
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), let_go);
  uv_close(reinterpret_cast<uv_handle_t*>(&prepare_), let_go);
  uv_close(reinterpret_cast<uv_handle_t*>(&check_), let_go);
  uv_close(reinterpret_cast<uv_handle_t*>(&idle_), let_go);
}

void RingWaker::LetGo(uv_handle_t*) {
  if (--handles_ > 0) return;
  napi_remove_async_cleanup_hook(hook_);
  delete this;
}

}  // namespace queuepair
