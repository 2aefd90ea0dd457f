#include "worker/framed_answer.h"

#include <utility>

namespace agentrouter::worker {
namespace {

// Closes the socket at the deadline, so that a read of it ends.
base::Task<base::Result<std::string>> read_some_until(keeper::LineSocket& socket, base::Deadline deadline) {
  base::Timer timer(co_await base::this_executor, deadline);
  auto waiting = std::make_shared<bool>(true);
  timer.async_wait([&socket, waiting](boost::system::error_code error) {
    if (!error && *waiting) socket.close();
  });
  auto bytes = co_await socket.read_some();
  *waiting = false;
  if (bytes && !bytes->empty()) co_return bytes;
  if (base::passed(deadline)) co_return base::fail(base::Code::timeout, "the files of the run do not come");
  co_return base::fail(base::Code::unavailable, "what was read of the run's files was cut off");
}

}  // namespace

base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> FramedAnswer::open(
    keeper::LineSocket socket, Patience patience, std::function<void()> on_end) {
  auto answer = std::make_unique<FramedAnswer>(co_await base::this_executor, std::move(socket), patience,
                                               std::move(on_end));
  const auto text = co_await answer->frame(patience.head);
  if (!text) co_return tl::unexpected(text.error());
  AGENTROUTER_CO_TRY(answer->head_, workspace::parse_files_head(*text));
  answer->await_taking();
  co_return std::unique_ptr<workspace::FileAnswer>(std::move(answer));
}

FramedAnswer::FramedAnswer(base::Executor executor, keeper::LineSocket socket, Patience patience,
                           std::function<void()> on_end)
    : socket_(std::move(socket)),
      patience_(patience),
      on_end_(std::move(on_end)),
      taking_(patience.taking),
      timer_(executor) {}

FramedAnswer::~FramedAnswer() {
  *waiting_ = false;
  end();
}

void FramedAnswer::end() {
  socket_.close();
  if (const auto on_end = std::exchange(on_end_, {})) on_end();
}

void FramedAnswer::await_taking() {
  handed_over_ = base::SteadyClock::now();
  waiting_ = std::make_shared<bool>(true);
  timer_.expires_at(handed_over_ + taking_.left());
  timer_.async_wait([this, waiting = waiting_](boost::system::error_code error) {
    if (error || !*waiting) return;
    given_up_ = true;
    end();
  });
}

void FramedAnswer::taken() {
  if (!std::exchange(*waiting_, false)) return;
  timer_.cancel();
  taking_.waited(base::SteadyClock::now() - handed_over_);
}

base::Task<base::Result<std::string>> FramedAnswer::next() {
  taken();
  if (given_up_)
    co_return base::fail(base::Code::timeout, "what was read of the run's files was not taken in time");
  if (ended_) co_return std::string();
  auto content = co_await frame(patience_.piece);
  ended_ = content && content->empty();
  if (ended_) end();
  if (content && !ended_) {
    taking_.moved(content->size());
    await_taking();
  }
  co_return content;
}

base::Task<base::Result<std::string>> FramedAnswer::frame(std::chrono::milliseconds patience) {
  const auto deadline = base::after(patience);
  const auto sized = co_await fill(4, deadline);
  if (!sized) co_return tl::unexpected(sized.error());
  std::size_t size = 0;
  for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(buffer_[i]);
  if (size > workspace::frame_bytes)
    co_return base::fail(base::Code::corrupt, "what was read of the run's files is damaged");
  const auto filled = co_await fill(4 + size, deadline);
  if (!filled) co_return tl::unexpected(filled.error());
  std::string content = buffer_.substr(4, size);
  buffer_.erase(0, 4 + size);
  co_return content;
}

base::Task<base::Result<void>> FramedAnswer::fill(std::size_t bytes, base::Deadline deadline) {
  while (buffer_.size() < bytes) {
    const auto more = co_await read_some_until(socket_, deadline);
    if (!more) co_return tl::unexpected(more.error());
    buffer_ += *more;
  }
  co_return base::Result<void>{};
}

}  // namespace agentrouter::worker
