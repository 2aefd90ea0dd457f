#pragma once
// Makes a range of whatever has `std::optional<Value> next()`: for (const auto& value : source).

#include <cstddef>
#include <iterator>
#include <optional>

namespace agentrouter {

// An input iterator: it takes one value at a time from its source, and comparing it with the end tells
// whether there was one. The source must outlive it. What next() throws comes out of begin() and ++.
template <class Source, class Value>
class InputIterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using iterator_category = std::input_iterator_tag;
  using value_type = Value;
  using difference_type = std::ptrdiff_t;
  using pointer = const Value*;
  using reference = const Value&;

  InputIterator() = default;
  explicit InputIterator(Source* source) : source_(source), value_(source->next()) {}
  const Value& operator*() const { return *value_; }
  const Value* operator->() const { return &*value_; }
  InputIterator& operator++() {
    value_ = source_->next();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const InputIterator& at, std::default_sentinel_t) { return !at.value_; }

 private:
  Source* source_ = nullptr;
  std::optional<Value> value_;
};

}  // namespace agentrouter
