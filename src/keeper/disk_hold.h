#pragma once
// What a keeper does while its disk is full. From the moment when there is no more room than what the journal
// has preallocated, nothing of the sandbox goes on: it is frozen, nobody reads what the agent says, its
// questions and requests are held. The disk is asked again until it has room, and then everything goes on
// where it stopped; or until patience is over, and then the run ends with storage_full, from the reserve.

#include "keeper/agent_log.h"
#include "keeper/recorder.h"
#include "keeper/turn.h"

namespace agentrouter::keeper {

struct DiskPatience {
  std::chrono::milliseconds most = std::chrono::minutes(10);
  std::chrono::milliseconds look_again = std::chrono::seconds(1);
};

// Who hears of a full disk, as long as this lives.
class DiskListeners {
 public:
  DiskListeners(Recorder& recorder, std::vector<AgentLog*> logs, const std::function<void()>& notice)
      : recorder_(recorder), logs_(std::move(logs)) {
    tell(notice);
  }
  ~DiskListeners() { tell({}); }
  DiskListeners(const DiskListeners&) = delete;
  DiskListeners& operator=(const DiskListeners&) = delete;

 private:
  void tell(const std::function<void()>& notice) {
    recorder_.on_tight(notice);
    for (auto* log : logs_) log->on_full(notice);
  }

  Recorder& recorder_;
  std::vector<AgentLog*> logs_;
};

class DiskHold {
 public:
  struct Needs {
    base::Executor executor;
    Recorder& recorder;
    DiskPatience patience = {};
    std::function<void(Hold)> hold;
    std::function<void(model::RunFailure)> give_up;
  };
  explicit DiskHold(Needs needs) : needs_(std::move(needs)), full_(needs_.executor) {}

  // Something could not be written, or only just.
  void notice() { full_.notify(); }
  // Until it is cancelled. The logs outlive it.
  base::Task<void> watch(std::vector<AgentLog*> logs);

 private:
  [[nodiscard]] bool is_full(const std::vector<AgentLog*>& logs) const;
  bool relieve(const std::vector<AgentLog*>& logs);
  base::Task<bool> wait(const std::vector<AgentLog*>& logs);

  Needs needs_;
  base::Event full_;
  int waits_ = 0;
};

}  // namespace agentrouter::keeper
