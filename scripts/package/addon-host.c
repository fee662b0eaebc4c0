// Stands in for Node.js where there is none, on musl: loads the addon with every symbol resolved at once, lets it register, and
// calls its functions. Prints one line of JSON; exit code 1 and a sentence on standard error where something is wrong.
//
// It has the part of Node-API that registering and checksums need; addon-host-answers.c has the rest.
#include <dlfcn.h>
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { UNDEFINED, NUMBER, BYTES, FUNCTION, OBJECT } Kind;

struct napi_value__ {
  Kind kind;
  double number;
  const void* bytes;
  size_t length;
  napi_callback callback;
  void* data;
  char name[64];
  napi_value owner;
};

struct napi_callback_info__ {
  size_t count;
  napi_value* values;
  void* data;
};

#define MAX_VALUES 4096
static struct napi_value__ values[MAX_VALUES];
static size_t value_count;
static void* instance_data;

static napi_value make(Kind kind) {
  if (value_count == MAX_VALUES) {
    fprintf(stderr, "the host has room for %d values\n", MAX_VALUES);
    exit(1);
  }
  napi_value value = &values[value_count++];
  memset(value, 0, sizeof(*value));
  value->kind = kind;
  return value;
}

napi_status napi_create_function(napi_env env, const char* name, size_t length, napi_callback callback, void* data,
                                 napi_value* result) {
  *result = make(FUNCTION);
  (*result)->callback = callback;
  (*result)->data = data;
  return napi_ok;
}

napi_status napi_set_named_property(napi_env env, napi_value object, const char* name, napi_value value) {
  snprintf(value->name, sizeof(value->name), "%s", name);
  value->owner = object;
  return napi_ok;
}

napi_status napi_get_cb_info(napi_env env, napi_callback_info info, size_t* count, napi_value* arguments,
                             napi_value* receiver, void** data) {
  for (size_t i = 0; count != NULL && i < *count; i++) arguments[i] = i < info->count ? info->values[i] : make(UNDEFINED);
  if (count != NULL) *count = info->count;
  if (data != NULL) *data = info->data;
  return napi_ok;
}

napi_status napi_get_typedarray_info(napi_env env, napi_value value, napi_typedarray_type* type, size_t* length,
                                     void** data, napi_value* buffer, size_t* offset) {
  if (value->kind != BYTES) return napi_invalid_arg;
  *type = napi_uint8_array;
  *length = value->length;
  *data = (void*)value->bytes;
  return napi_ok;
}

napi_status napi_get_value_double(napi_env env, napi_value value, double* result) {
  if (value->kind != NUMBER) return napi_number_expected;
  *result = value->number;
  return napi_ok;
}

napi_status napi_get_value_int32(napi_env env, napi_value value, int32_t* result) {
  if (value->kind != NUMBER) return napi_number_expected;
  *result = (int32_t)value->number;
  return napi_ok;
}

napi_status napi_get_value_uint32(napi_env env, napi_value value, uint32_t* result) {
  if (value->kind != NUMBER) return napi_number_expected;
  *result = (uint32_t)value->number;
  return napi_ok;
}

static napi_value number(double value) {
  napi_value result = make(NUMBER);
  result->number = value;
  return result;
}

napi_status napi_create_double(napi_env env, double value, napi_value* result) {
  *result = number(value);
  return napi_ok;
}

napi_status napi_create_int32(napi_env env, int32_t value, napi_value* result) {
  *result = number(value);
  return napi_ok;
}

napi_status napi_create_uint32(napi_env env, uint32_t value, napi_value* result) {
  *result = number(value);
  return napi_ok;
}

napi_status napi_get_boolean(napi_env env, bool value, napi_value* result) {
  *result = number(value);
  return napi_ok;
}

napi_status napi_create_object(napi_env env, napi_value* result) {
  *result = make(OBJECT);
  return napi_ok;
}

napi_status napi_create_array(napi_env env, napi_value* result) {
  *result = make(OBJECT);
  return napi_ok;
}

napi_status napi_create_arraybuffer(napi_env env, size_t length, void** data, napi_value* result) {
  *result = make(OBJECT);
  *data = calloc(1, length);
  return napi_ok;
}

napi_status napi_create_string_utf8(napi_env env, const char* text, size_t length, napi_value* result) {
  *result = make(OBJECT);
  return napi_ok;
}

napi_status napi_get_value_string_utf8(napi_env env, napi_value value, char* text, size_t size, size_t* length) {
  if (size > 0) text[0] = '\0';
  if (length != NULL) *length = 0;
  return napi_string_expected;
}

napi_status napi_create_reference(napi_env env, napi_value value, uint32_t count, napi_ref* result) {
  *result = (napi_ref)value;
  return napi_ok;
}

napi_status napi_get_reference_value(napi_env env, napi_ref reference, napi_value* result) {
  *result = (napi_value)reference;
  return napi_ok;
}

napi_status napi_set_instance_data(napi_env env, void* data, napi_finalize finalize, void* hint) {
  instance_data = data;
  return napi_ok;
}

napi_status napi_get_instance_data(napi_env env, void** data) {
  *data = instance_data;
  return napi_ok;
}

static napi_value call(napi_value function, size_t count, napi_value* arguments) {
  struct napi_callback_info__ info = {count, arguments, function->data};
  return function->callback(NULL, &info);
}

// The checksum of "123456789" that every description of CRC-32 gives.
static void check_crc(napi_value function) {
  static const char text[] = "123456789";
  napi_value bytes = make(BYTES);
  bytes->bytes = text;
  bytes->length = sizeof(text) - 1;
  napi_value arguments[] = {bytes, number(0), number(bytes->length), number(0)};
  napi_value result = call(function, 4, arguments);
  if (result != NULL && result->number == 0xcbf43926) return;
  fprintf(stderr, "%s is wrong\n", function->name);
  exit(1);
}

int main(int count, char** arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: addon-host FILE\n");
    return 2;
  }
  void* addon = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (addon == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  napi_addon_register_func enter = (napi_addon_register_func)dlsym(addon, "napi_register_module_v1");
  if (enter == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  napi_value exports = make(OBJECT);
  if (enter(NULL, exports) != exports) {
    fprintf(stderr, "the addon did not register\n");
    return 1;
  }
  const size_t made = value_count;
  int functions = 0;
  int checksums = 0;
  for (size_t i = 0; i < made; i++) {
    napi_value value = &values[i];
    if (value->kind != FUNCTION || value->name[0] == '\0') continue;
    functions++;
    if (strncmp(value->name, "crc32", 5) == 0) {
      checksums++;
      check_crc(value);
    } else {
      // Without arguments: nothing happens, and that in code that runs.
      call(value, 0, NULL);
    }
    value_count = made;
  }
  printf("{\"functions\":%d,\"checksums\":%d}\n", functions, checksums);
  return 0;
}
