#include "task.h"

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

namespace queuepair {
namespace {

struct Task {
  std::function<int()> run;
  std::function<napi_value(napi_env)> finish;
  std::function<void(napi_env)> fail;
  std::vector<napi_ref> kept;
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  int error = ECANCELED;
};

void Execute(napi_env, void* data) {
  auto* task = static_cast<Task*>(data);
  task->error = task->run();
}

// Also called when the environment ends: then only what `finish` does without JavaScript has an effect.
void Complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  napi_value value = nullptr;
  if (task->error == 0) {
    value = task->finish(env);
  } else if (task->fail) {
    task->fail(env);
  }
  if (value == nullptr) napi_create_int32(env, -task->error, &value);
  for (napi_ref reference : task->kept) napi_delete_reference(env, reference);
  napi_delete_async_work(env, task->work);
  napi_resolve_deferred(env, task->deferred, value);
}

}  // namespace

napi_value RunTask(napi_env env, std::initializer_list<napi_value> kept, std::function<int()> run,
                   std::function<napi_value(napi_env)> finish, std::function<void(napi_env)> fail) {
  auto task = std::make_unique<Task>();
  task->run = std::move(run);
  task->finish = std::move(finish);
  task->fail = std::move(fail);
  napi_value promise;
  napi_value name;
  if (napi_create_promise(env, &task->deferred, &promise) != napi_ok ||
      napi_create_string_utf8(env, "QUEUEPAIR_VERBS", NAPI_AUTO_LENGTH, &name) != napi_ok) {
    return nullptr;
  }
  for (napi_value object : kept) {
    napi_ref reference;
    if (napi_create_reference(env, object, 1, &reference) == napi_ok) task->kept.push_back(reference);
  }
  if (napi_create_async_work(env, nullptr, name, Execute, Complete, task.get(), &task->work) != napi_ok ||
      napi_queue_async_work(env, task->work) != napi_ok) {
    return nullptr;
  }
  task.release();
  return promise;
}

}  // namespace queuepair
