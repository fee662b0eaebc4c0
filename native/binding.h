// Helpers for the functions that JavaScript calls. Arguments come from src/native/ alone, which keeps to the types;
// a call that does not gets `undefined` back and changes nothing.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace queuepair {

// The arguments of a call, at most N of them; missing ones are `undefined`.
template <size_t N>
struct Arguments {
  Arguments(napi_env env_, napi_callback_info info) : env(env_) {
    size_t count = N;
    void* pointer = nullptr;
    ok = napi_get_cb_info(env, info, &count, values, nullptr, &pointer) == napi_ok;
    data = pointer;
  }

  bool Int(size_t index, int32_t* out) const { return napi_get_value_int32(env, values[index], out) == napi_ok; }

  // A typed array of the given type.
  bool Array(size_t index, napi_typedarray_type wanted, void** bytes, size_t* length) const {
    napi_typedarray_type type;
    return napi_get_typedarray_info(env, values[index], &type, length, bytes, nullptr, nullptr) == napi_ok &&
           type == wanted;
  }

  napi_env env;
  napi_value values[N];
  void* data;
  bool ok;
};

// A Float64Array of at least `wanted` elements, or nullptr.
template <size_t N>
double* Numbers(const Arguments<N>& arguments, size_t index, size_t wanted) {
  void* data;
  size_t length;
  if (!arguments.Array(index, napi_float64_array, &data, &length) || length < wanted) return nullptr;
  return static_cast<double*>(data);
}

template <size_t N>
std::string Text(const Arguments<N>& arguments, size_t index) {
  char text[4096];
  size_t length = 0;
  napi_get_value_string_utf8(arguments.env, arguments.values[index], text, sizeof(text), &length);
  return std::string(text, length);
}

inline napi_value FromText(napi_env env, const std::string& text) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, text.c_str(), text.size(), &result);
  return result;
}

inline napi_value FromInt(napi_env env, int32_t value) {
  napi_value result = nullptr;
  napi_create_int32(env, value, &result);
  return result;
}

inline void SetFunction(napi_env env, napi_value exports, const char* name, napi_callback callback, void* data) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function) == napi_ok) {
    napi_set_named_property(env, exports, name, function);
  }
}

// Each adds the functions of one concept to the exports.
void RegisterCrc(napi_env env, napi_value exports);
void RegisterUdp(napi_env env, napi_value exports);
void RegisterLinks(napi_env env, napi_value exports);
void RegisterVerbs(napi_env env, napi_value exports);
void RegisterRdmacm(napi_env env, napi_value exports);

}  // namespace queuepair
