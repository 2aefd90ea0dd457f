#pragma once
// The owner's half of a takeover, as long as it serves: listens on DATA/takeover.sock (0600) and tells the program
// when a newer server wants everything.

#include <boost/asio/posix/stream_descriptor.hpp>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/successor.h"
#include "base/task_scope.h"

namespace agentrouter::apps {

class TakeoverDesk {
 public:
  explicit TakeoverDesk(base::Executor executor) : executor_(executor), listener_(executor), scope_(executor) {}

  // `sockets` are duplicated. `taken` runs once, when a newer server has said that it is ready to take over; until
  // then nothing has changed here. Errors: those of bind(2).
  [[nodiscard]] base::Result<void> open(const std::filesystem::path& data,
                                        const std::vector<ListeningSocket>& sockets,
                                        std::function<void(Successor)> taken);
  // Nobody can take over any more, since this server ends by itself.
  void refuse() { stopping_ = true; }
  // Resumes when nothing of it runs.
  base::Task<void> stop();

 private:
  using Socket = asio::posix::basic_stream_descriptor<base::Executor>;

  base::Task<void> accept();
  base::Task<void> serve(base::Fd socket);
  base::Task<std::optional<takeover::Received>> receive(Socket& socket, std::chrono::milliseconds most);
  std::optional<takeover::Refused> objection(const takeover::Peer& peer, const takeover::Message& hello) const;

  base::Executor executor_;
  Socket listener_;
  std::vector<base::Fd> sockets_;
  takeover::Welcome welcome_;
  std::function<void(Successor)> taken_;
  bool busy_ = false;
  bool stopping_ = false;
  base::TaskScope scope_;
};

}  // namespace agentrouter::apps
