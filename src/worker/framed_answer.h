#pragma once
// Reads the frames of workspace/file_request.h from a socket. Who writes them is not trusted.

#include <functional>

#include "base/event.h"
#include "keeper/protocol.h"
#include "workspace/file_answer.h"

namespace agentrouter::worker {

class FramedAnswer final : public workspace::FileAnswer {
 public:
  struct Patience {
    std::chrono::milliseconds head = std::chrono::seconds(90);  // a whole checkpoint may have to be read
    std::chrono::milliseconds piece = std::chrono::seconds(30);
  };
  // Reads the head. `on_end` runs when the answer is destroyed.
  // Errors: what the head tells; unavailable, timeout, corrupt.
  static base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> open(keeper::LineSocket socket,
                                                                               Patience patience,
                                                                               std::function<void()> on_end);

  FramedAnswer(keeper::LineSocket socket, Patience patience, std::function<void()> on_end)
      : socket_(std::move(socket)), patience_(patience), on_end_(std::move(on_end)) {}
  FramedAnswer(const FramedAnswer&) = delete;
  FramedAnswer& operator=(const FramedAnswer&) = delete;
  ~FramedAnswer() override;

  [[nodiscard]] const json::object& head() const override { return head_; }
  [[nodiscard]] base::Task<base::Result<std::string>> next() override;

 private:
  base::Task<base::Result<std::string>> frame(std::chrono::milliseconds patience);
  base::Task<base::Result<void>> fill(std::size_t bytes, base::Deadline deadline);

  keeper::LineSocket socket_;
  Patience patience_;
  std::function<void()> on_end_;
  std::string buffer_;
  json::object head_;
  bool ended_ = false;
};

}  // namespace agentrouter::worker
