#include "worker/framed_answer.h"

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
  auto answer = std::make_unique<FramedAnswer>(std::move(socket), patience, std::move(on_end));
  const auto text = co_await answer->frame(patience.head);
  if (!text) co_return tl::unexpected(text.error());
  AGENTROUTER_CO_TRY(answer->head_, workspace::parse_files_head(*text));
  co_return std::unique_ptr<workspace::FileAnswer>(std::move(answer));
}

FramedAnswer::~FramedAnswer() {
  socket_.close();
  if (on_end_) on_end_();
}

base::Task<base::Result<std::string>> FramedAnswer::next() {
  if (ended_) co_return std::string();
  auto content = co_await frame(patience_.piece);
  ended_ = content && content->empty();
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
