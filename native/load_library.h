// A library that is opened at run time, once for the process: the addon must load where the library does not exist.
// It counts as loaded once its table is full and what the library needs first was done; no thread sees it earlier.
#pragma once

#include <dlfcn.h>

#include <atomic>
#include <mutex>
#include <string>

namespace queuepair {

// Puts the function `name` into `out`; false when the library has none.
template <typename Function>
bool FindFunction(void* handle, const char* name, Function* out) {
  *out = reinterpret_cast<Function>(dlsym(handle, name));
  return *out != nullptr;
}

template <typename Table>
class LoadedLibrary {
 public:
  // Fills the table and does what must come before every other call. Returns the name of a function that is missing,
  // or nullptr.
  using Fill = const char* (*)(void* handle, Table* out);

  // The table once `Load` succeeded.
  static const Table* Get() { return is_loaded_.load(std::memory_order_acquire) ? &table_ : nullptr; }

  // Opens the library; later calls return the same. Empty on success, else why not.
  static std::string Load(const char* path, Fill fill) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_loaded_.load(std::memory_order_relaxed)) return "";
    void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return dlerror();
    const char* const missing = fill(handle, &table_);
    if (missing != nullptr) {
      dlclose(handle);
      return std::string(path) + " has no function " + missing;
    }
    is_loaded_.store(true, std::memory_order_release);
    return "";
  }

 private:
  inline static std::mutex mutex_;
  inline static std::atomic<bool> is_loaded_{false};
  inline static Table table_{};
};

}  // namespace queuepair
