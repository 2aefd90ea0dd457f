#pragma once
// Bytes that arrived and are not consumed yet. Internal to net.

#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace agentrouter::net {

class ReadBuffer {
 public:
  [[nodiscard]] std::string_view unread() const { return {bytes_.get() + begin_, end_ - begin_}; }
  void consume(std::size_t size) {
    begin_ += size;
    if (begin_ == end_) begin_ = end_ = 0;
  }

  // Where the next read may write: at least `least` bytes. Moves what is unread; call filled() after.
  [[nodiscard]] std::span<char> space(std::size_t least) {
    if (capacity_ - end_ < least) make_room(least);
    return {bytes_.get() + end_, capacity_ - end_};
  }
  void filled(std::size_t size) { end_ += size; }

  // Gives the memory back when nothing is unread.
  void shrink() {
    if (begin_ != end_) return;
    bytes_.reset();
    capacity_ = begin_ = end_ = 0;
  }

 private:
  void make_room(std::size_t least) {
    const auto size = end_ - begin_;
    if (capacity_ - size >= least) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, size);
    } else {
      const auto capacity = size + least;
      auto grown = std::make_unique_for_overwrite<char[]>(capacity);
      if (size > 0) std::memcpy(grown.get(), bytes_.get() + begin_, size);
      bytes_ = std::move(grown);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = size;
  }

  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace agentrouter::net
