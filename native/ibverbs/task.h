// A verb that runs on a thread of the pool, because it is a system call that may take milliseconds, and then resolves
// a promise on the event loop.
#pragma once

#include <node_api.h>

#include <functional>
#include <initializer_list>

namespace queuepair {

// `run` returns an errno on the pool; it must not touch JavaScript. After 0 `finish` makes the promise's value, else
// `fail` cleans up and the value is the negative errno. Both run on the event loop, also when the environment ends.
// Objects in `kept` stay alive until then. Returns the promise.
napi_value RunTask(napi_env env, std::initializer_list<napi_value> kept, std::function<int()> run,
                   std::function<napi_value(napi_env)> finish, std::function<void(napi_env)> fail = {});

}  // namespace queuepair
