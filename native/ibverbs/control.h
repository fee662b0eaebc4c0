// What the control verbs share. Each is a system call, so it runs on a thread of the pool and resolves a promise, with a
// handle (from 1 on) or 0 on success and a negative errno on failure. Further results are written into an array that
// the caller passes. A call with wrong arguments gets `undefined`.
#pragma once

#include "objects.h"

#if QUEUEPAIR_HAS_VERBS

#include <memory>
#include <utility>

#include "task.h"

namespace queuepair {

template <size_t N>
Objects* ObjectsOf(const Arguments<N>& arguments) {
  return arguments.ok && Library::Get() != nullptr ? static_cast<Objects*>(arguments.data) : nullptr;
}

// The object that the argument names.
template <typename T, size_t N>
T* Named(const Arguments<N>& arguments, size_t index, Kind kind) {
  int32_t handle;
  const Objects* const objects = ObjectsOf(arguments);
  return objects != nullptr && arguments.Int(index, &handle) ? objects->Get<T>(handle, kind) : nullptr;
}

// Makes an object on the pool: `make` returns the pointer of the verb, with errno set where there is none, and gets the
// object as context for events. `finish` runs on the event loop before the promise resolves with the handle, `fail`
// instead of it.
template <typename Make, typename Finish>
napi_value MakeObject(napi_env env, Objects* objects, Kind kind, std::initializer_list<napi_value> kept, Make make,
                      Finish finish, std::function<void(napi_env)> fail = {}) {
  auto* object = new Object(kind, nullptr);
  return RunTask(
      env, kept,
      [object, make] {
        errno = 0;
        object->pointer = make(object);
        return object->pointer != nullptr ? 0 : LastError();
      },
      [objects, object, finish](napi_env finished) {
        finish(finished, object);
        return FromInt(finished, objects->Add(std::unique_ptr<Object>(object)));
      },
      [object, fail = std::move(fail)](napi_env failed) {
        if (fail) fail(failed);
        delete object;
      });
}

inline napi_value Succeed(napi_env env) { return FromInt(env, 0); }

// A function of the caller, to be called with what arrives at a descriptor of the new object.
struct Callback {
  napi_ref reference = nullptr;

  template <size_t N>
  bool Take(const Arguments<N>& arguments, size_t index) {
    napi_valuetype type;
    return napi_typeof(arguments.env, arguments.values[index], &type) == napi_ok && type == napi_function &&
           napi_create_reference(arguments.env, arguments.values[index], 1, &reference) == napi_ok;
  }

  void Watch(napi_env env, Object* object, int descriptor, FdWatcher::Drain drain) const {
    napi_value function;
    if (napi_get_reference_value(env, reference, &function) == napi_ok) {
      object->watcher = FdWatcher::Start(env, descriptor, function, std::move(drain));
    }
    napi_delete_reference(env, reference);
  }
};

}  // namespace queuepair

#endif
