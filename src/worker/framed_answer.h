#pragma once
// Reads the frames of workspace/file_request.h from a socket. Who writes them is not trusted.

#include <functional>
#include <memory>

#include "base/event.h"
#include "base/pace.h"
#include "keeper/protocol.h"
#include "workspace/file_answer.h"

namespace agentrouter::worker {

class FramedAnswer final : public workspace::FileAnswer {
 public:
  struct Patience {
    std::chrono::milliseconds head = std::chrono::seconds(90);  // a whole checkpoint may have to be read
    std::chrono::milliseconds piece = std::chrono::seconds(30);
    base::Pace::Rule taking = {};  // of who has the answer, from one piece to asking for the next
  };
  // Reads the head. `on_end` runs once: when the answer is destroyed, or when it is taken too slowly; then
  // the next piece is an error (timeout). Errors: what the head tells; unavailable, timeout, corrupt.
  static base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> open(keeper::LineSocket socket,
                                                                               Patience patience,
                                                                               std::function<void()> on_end);

  FramedAnswer(base::Executor executor, keeper::LineSocket socket, Patience patience,
               std::function<void()> on_end);
  FramedAnswer(const FramedAnswer&) = delete;
  FramedAnswer& operator=(const FramedAnswer&) = delete;
  ~FramedAnswer() override;

  [[nodiscard]] const json::object& head() const override { return head_; }
  [[nodiscard]] base::Task<base::Result<std::string>> next() override;

 private:
  base::Task<base::Result<std::string>> frame(std::chrono::milliseconds patience);
  base::Task<base::Result<void>> fill(std::size_t bytes, base::Deadline deadline);
  void await_taking();
  void taken();
  void end();

  keeper::LineSocket socket_;
  Patience patience_;
  std::function<void()> on_end_;
  std::string buffer_;
  json::object head_;
  bool ended_ = false;
  bool given_up_ = false;
  base::Pace taking_;
  base::Deadline handed_over_;
  std::shared_ptr<bool> waiting_ = std::make_shared<bool>(false);  // for who has the answer
  base::Timer timer_;
};

}  // namespace agentrouter::worker
