#include "apps/remote_files.h"

#include <unistd.h>

#include <cerrno>

#include "base/log.h"

namespace agentrouter::apps {

namespace {

constexpr std::size_t piece_bytes = 64 * 1024;

// Throws the blob away in the end.
class BlobAnswer final : public workspace::FileAnswer {
 public:
  BlobAnswer(blobs::BlobStore& blobs, base::Pool& pool, json::object head, std::string key, blobs::Blob blob)
      : blobs_(blobs), pool_(pool), head_(std::move(head)), key_(std::move(key)), blob_(std::move(blob)) {}
  BlobAnswer(const BlobAnswer&) = delete;
  BlobAnswer& operator=(const BlobAnswer&) = delete;
  ~BlobAnswer() override = default;

  [[nodiscard]] const json::object& head() const override { return head_; }

  base::Task<base::Result<std::string>> next() override {
    auto piece = co_await pool_.run([this]() -> base::Result<std::string> {
      std::string bytes(piece_bytes, '\0');
      for (;;) {
        const auto got = ::read(blob_.fd.get(), bytes.data(), bytes.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return base::fail_errno("cannot read an answer of another server", errno);
        bytes.resize(static_cast<std::size_t>(got));
        return bytes;
      }
    });
    if (piece && piece->empty()) co_await throw_away();
    co_return piece;
  }

 private:
  // One that is not read to its end is found by the housekeeping of its server's blobs.
  base::Task<void> throw_away() {
    co_await pool_.run([this] {
      try {
        blobs_.remove(key_);
      } catch (const base::Failure& failure) {
        base::log(base::LogLevel::warn, "an answer of another server stays", {{"cause", failure.error().message}});
      }
    });
  }

  blobs::BlobStore& blobs_;
  base::Pool& pool_;
  json::object head_;
  std::string key_;
  blobs::Blob blob_;
};

}  // namespace

base::Task<base::Result<void>> RemoteFiles::collect(runs::NodeRequest& request) {
  auto answer = co_await needs_.files.ask_here(request.run, request.what);
  if (!answer) co_return tl::unexpected(answer.error());
  request.head = base::to_text((*answer)->head());
  const auto key = runs::answer_key(request);
  auto writer = co_await needs_.pool.run([this, &key] { return needs_.blobs.create(key); });
  for (;;) {
    const auto piece = co_await (*answer)->next();
    if (!piece) co_return tl::unexpected(piece.error());
    if (piece->empty()) break;
    co_await needs_.pool.run([&writer, &piece] { writer->write(*piece); });
  }
  const auto info = co_await needs_.pool.run([&writer] { return writer->commit(); });
  request.key = key;
  request.sha256 = info.sha256;
  co_return base::Result<void>();
}

base::Task<runs::NodeRequest> RemoteFiles::answer(runs::NodeRequest request) {
  std::optional<base::Error> error;
  try {
    const auto done = co_await collect(request);
    if (!done) error = done.error();
  } catch (const base::Failure& failure) {
    error = failure.error();
  }
  request.error = std::move(error);
  co_return request;
}

base::Task<worker::RunFiles::Needs::Answer> RemoteFiles::ask(nodes::Member& member, std::string host,
                                                             model::RunId run, std::string request) {
  auto answered = co_await member.ask(std::move(host), std::move(run), std::move(request), needs_.patience);
  if (!answered) co_return tl::unexpected(answered.error());
  auto head = base::parse_json(answered->head);
  if (!head || !head->is_object())
    co_return base::fail(base::Code::unavailable, "The answer of another server cannot be read");
  const auto& key = answered->key;
  const auto& sha256 = answered->sha256;
  auto blob = co_await needs_.pool.run([this, &key, &sha256] { return needs_.blobs.open(key, sha256); });
  if (!blob) co_return base::fail(base::Code::unavailable, "The answer of another server is gone");
  co_return std::make_unique<BlobAnswer>(needs_.blobs, needs_.pool, std::move(head->get_object()), key,
                                         std::move(*blob));
}

void RemoteFiles::discard(const std::string& key) {
  try {
    needs_.blobs.remove(key);
  } catch (const base::Failure& failure) {
    base::log(base::LogLevel::warn, "an answer that nobody waits for stays", {{"cause", failure.error().message}});
  }
}

}  // namespace agentrouter::apps
