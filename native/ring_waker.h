// Lets the event loop look after the rings of a port. Before the loop waits it says in every ring that the reader sleeps,
// and when it turns again that it does not: so who sends makes a system call only where it has to.
//
// Life: made by `Start`, from then on owned by the event loop, which lets go of it some time after `Stop`. The hub must
// live until `Stop`.
#pragma once

#include <node_api.h>
#include <uv.h>

#include <functional>

#include "ring_hub.h"

namespace queuepair {

class RingWaker {
 public:
  // `on_news` is called from the event loop when a ring has packets, unless it does not listen. nullptr if the loop
  // refuses.
  static RingWaker* Start(napi_env env, RingHub* hub, std::function<void()> on_news);
  void Stop();
  void SetListening(bool is_listening) { is_listening_ = is_listening; }
  // Whether the owner looks in the next turn of the loop, so that the loop does not wait and nobody has to wake it.
  void SetTurning(bool is_turning) { is_turning_ = is_turning; }

 private:
  RingWaker(RingHub* hub, std::function<void()> on_news) : hub_(hub), on_news_(std::move(on_news)) {}

  void BeforeWait();
  void AfterWait();
  void LetGo(uv_handle_t* handle);

  RingHub* hub_;
  const std::function<void()> on_news_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uv_poll_t poll_{};
  uv_prepare_t prepare_{};
  uv_check_t check_{};
  // Active: the loop does not wait.
  uv_idle_t idle_{};
  int handles_ = 0;
  bool is_listening_ = true;
  bool is_turning_ = false;
  bool is_sleeping_ = false;
  bool is_stopped_ = false;
};

}  // namespace queuepair
