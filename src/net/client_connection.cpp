#include "net/client.h"

namespace agentrouter::net {

namespace {

constexpr std::size_t read_bytes = 16 * 1024;

}  // namespace

ClientConnection::ClientConnection(std::unique_ptr<Stream> stream, ResponseLimits limits)
    : stream_(std::move(stream)), limits_(limits) {}

ClientConnection::ClientConnection(ClientConnection&&) noexcept = default;
ClientConnection& ClientConnection::operator=(ClientConnection&&) noexcept = default;
ClientConnection::~ClientConnection() = default;

// Reads once and parses. False at the end of the connection.
Task<Result<bool>> ClientConnection::fill(base::Deadline deadline) {
  if (buffer_.empty()) {
    buffer_.resize(read_bytes);
    auto got = co_await stream_->read_some(buffer_, deadline);
    if (!got) {
      buffer_.clear();
      co_return tl::unexpected(std::move(got).error());
    }
    buffer_.resize(*got);
    if (*got == 0) {
      auto finished = parser_->finish();
      if (!finished) co_return tl::unexpected(std::move(finished).error());
      co_return false;
    }
  }
  auto used = parser_->feed(buffer_, pending_);
  if (!used) co_return tl::unexpected(std::move(used).error());
  buffer_.erase(0, *used);
  co_return true;
}

Task<Result<ResponseHead>> ClientConnection::send(ClientRequest request, base::Deadline deadline) {
  parser_.emplace(request.method == "HEAD" ? Answers::head : Answers::other, limits_);
  pending_.clear();
  const std::string head = request_head(request);
  auto written = co_await stream_->write(head, deadline);
  if (written && !request.body.empty()) written = co_await stream_->write(request.body, deadline);
  // A server that refuses a long body answers before it has read all of it, and then closes: its answer
  // counts.
  if (!written && written.error().code != base::Code::unavailable) {
    co_return tl::unexpected(std::move(written).error());
  }
  while (!parser_->head_done()) {
    auto filled = co_await fill(deadline);
    if (!filled) co_return tl::unexpected(written ? std::move(filled).error() : std::move(written).error());
  }
  co_return parser_->head();
}

Task<Result<std::string>> ClientConnection::read_some(base::Deadline deadline) {
  while (pending_.empty() && !parser_->done()) {
    auto filled = co_await fill(deadline);
    if (!filled) co_return tl::unexpected(std::move(filled).error());
  }
  co_return std::exchange(pending_, {});
}

Task<Result<std::string>> ClientConnection::read_body(std::uint64_t max_bytes, base::Deadline deadline) {
  std::string body;
  for (;;) {
    auto piece = co_await read_some(deadline);
    if (!piece) co_return tl::unexpected(std::move(piece).error());
    if (piece->empty()) co_return body;
    if (piece->size() > max_bytes - body.size()) {
      co_return base::fail(base::Code::exhausted, "cannot read a response: its body is over " +
                                                      std::to_string(max_bytes) + " bytes");
    }
    body += *piece;
  }
}

bool ClientConnection::reusable() const {
  return parser_ && parser_->done() && parser_->keep_alive() && pending_.empty() && buffer_.empty();
}

void ClientConnection::close() {
  stream_->close();
}

}  // namespace agentrouter::net
