#include "net/splice.h"

#include <array>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <optional>

#include "net/alarm.h"

namespace agentrouter::net {

namespace {

constexpr std::size_t piece_of_splice_bytes = 16 * 1024;
// For the peer's own word that TLS is over.
constexpr std::chrono::milliseconds farewell{1'000};

class Splice {
 public:
  Splice(base::Executor executor, Stream& near, Stream& far, SpliceOptions options)
      : near_(near), far_(far), options_(std::move(options)), quiet_(executor, [this] { stop(SpliceEnd::idle); }) {
    stir();
  }

  Task<SpliceEnd> run() {
    using namespace asio::experimental::awaitable_operators;
    co_await (carry(near_, far_) && carry(far_, near_));
    quiet_.cancel();
    near_.close();
    far_.close();
    co_return end_.value_or(SpliceEnd::done);
  }

 private:
  void stir() { quiet_.set(base::after(options_.idle_timeout)); }

  // The first reason counts.
  void stop(SpliceEnd why) {
    if (!end_) end_ = why;
    near_.close();
    far_.close();
  }

  bool counted(bool from_near, std::uint64_t size) {
    return !options_.counts || options_.counts(from_near ? size : 0, from_near ? 0 : size);
  }

  Task<void> carry(Stream& from, Stream& to) {
    std::array<char, piece_of_splice_bytes> piece;
    const bool from_near = &from == &near_;
    const auto reader = from_near ? SpliceEnd::near_left : SpliceEnd::far_left;
    const auto writer = from_near ? SpliceEnd::far_left : SpliceEnd::near_left;
    while (!end_) {
      auto got = co_await from.read_some(piece, base::Deadline::max());
      if (!got) stop(reader);
      if (!got) break;
      stir();
      if (*got == 0) {
        co_await to.end(base::after(farewell));
        break;
      }
      if (!counted(from_near, *got)) stop(SpliceEnd::stopped);
      if (end_) break;
      auto written = co_await to.write(std::string_view(piece.data(), *got), base::Deadline::max());
      if (!written) stop(writer);
      stir();
    }
  }

  Stream& near_;
  Stream& far_;
  SpliceOptions options_;
  std::optional<SpliceEnd> end_;
  Alarm quiet_;
};

}  // namespace

Task<SpliceEnd> splice(Stream& near, Stream& far, SpliceOptions options) {
  Splice both(co_await base::this_executor, near, far, std::move(options));
  co_return co_await both.run();
}

}  // namespace agentrouter::net
