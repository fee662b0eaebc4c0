// Things that JavaScript names by small integers, from 1 on. Handles of removed things are used again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace queuepair {

template <typename T>
class HandleTable {
 public:
  int32_t Add(std::unique_ptr<T> item) {
    if (free_.empty()) {
      items_.push_back(std::move(item));
      return static_cast<int32_t>(items_.size());
    }
    const int32_t handle = free_.back();
    free_.pop_back();
    items_[static_cast<size_t>(handle) - 1] = std::move(item);
    return handle;
  }

  void Remove(int32_t handle) {
    if (Find(handle) == nullptr) return;
    items_[static_cast<size_t>(handle) - 1].reset();
    free_.push_back(handle);
  }

  // nullptr for a handle that names nothing.
  T* Find(int32_t handle) const {
    if (handle < 1 || static_cast<size_t>(handle) > items_.size()) return nullptr;
    return items_[static_cast<size_t>(handle) - 1].get();
  }

  template <typename Function>
  void ForEach(Function function) {
    for (const std::unique_ptr<T>& item : items_) {
      if (item != nullptr) function(*item);
    }
  }

  size_t size() const { return items_.size() - free_.size(); }

 private:
  std::vector<std::unique_ptr<T>> items_;
  std::vector<int32_t> free_;
};

}  // namespace queuepair
