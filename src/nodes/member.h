#pragma once
// This server among those that share its store: says that it is there, beats, notices who has stopped, has
// its part of the duties that only one may have, hears that it is to take nothing new, and asks and answers
// what is on one machine only. Servers meet in the store and nowhere else.
//
// The timers renew and watch; everything else comes with commits. All but the listener's calls belongs to
// `executor`.

#include <map>
#include <memory>
#include <set>

#include "base/event.h"
#include "base/task_scope.h"
#include "runs/node_requests.h"
#include "runs/nodes.h"

namespace agentrouter::nodes {

struct MemberConfig {
  runs::Node self;
  std::vector<std::string> wants;  // duties that it may have
  bool owns_store = true;          // nobody else is there: those before it are forgotten
  // Who has not beaten for so long is gone. It beats four times in it; once, where nobody else is there to
  // see it.
  std::chrono::milliseconds lease = std::chrono::seconds{20};
};

struct MemberHooks {
  std::function<int()> used = [] { return 0; };   // runs that are carried out here
  std::function<void(bool)> drain = [](bool) {};  // what it is asked to be from now on
  std::function<void()> duties_changed = [] {};   // has() says something else, or yes again after a no
  // Answers a question to this node: gives it back with head and key, or error. Does not throw. None: nothing
  // can be asked of this node.
  std::function<base::Task<runs::NodeRequest>(runs::NodeRequest)> answer = {};
  // Nobody waits for an answer any more that has this blob. Blocks briefly.
  std::function<void(const std::string& key)> discard = [](const std::string&) {};
};

class Member final : public store::CommitListener {
 public:
  // Everything that is passed by reference outlives it.
  struct Needs {
    base::Executor executor;
    store::Store& store;
    const base::Clock& clock;
    base::Entropy& entropy;
  };
  Member(Needs needs, MemberConfig config, MemberHooks hooks);
  ~Member() override;

  // Until it is cancelled. The store may be away: it goes on when it is back.
  base::Task<void> run();
  // After run(): the others need not wait for the end of its lease.
  base::Task<void> leave();

  // It has the duty, and well before anybody else could have it. False while the store is away for long.
  [[nodiscard]] bool has(std::string_view duty) const;
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] const std::string& id() const { return config_.self.id; }
  // How many there are, itself among them, as it last saw them.
  [[nodiscard]] std::size_t known() const { return seen_.size(); }

  // Asks `node` for the files of a run. The answer has a head and perhaps a blob, which the caller throws
  // away. Errors: what the other one says; unavailable (worker_unreachable, details {node,
  // retryAfterSeconds}): it is not there, or has not answered in time.
  base::Task<base::Result<runs::NodeRequest>> ask(std::string node, model::RunId run, std::string what,
                                                  std::chrono::milliseconds patience);

  void committed(std::shared_ptr<const std::vector<model::Event>>) override {}
  void run_changed(const model::RunId&, model::RunStatus) override {}
  void notes_changed(const std::string& kind) override;
  void missed() override;

 private:
  struct Mailbox {
    Member* member;  // only looked at on the executor
  };
  struct Seen {
    std::int64_t beats = 0;
    base::Deadline since;
  };
  struct Note {
    bool drain = false;
    bool request = false;
  };

  base::Task<void> work();
  [[nodiscard]] std::chrono::milliseconds pause() const;
  base::Task<void> beat();
  void apply(const runs::BeatAnswer& answer, bool lapsed);  // lapsed: its duties were nobody's for a while
  base::Task<void> look_at_others();
  base::Task<void> take_requests();
  base::Task<void> answer(runs::NodeRequest request);
  base::Task<std::optional<runs::NodeRequest>> wait_for(const runs::NodeRequest& asked,
                                                        base::Deadline deadline);
  void pass_on(Note note);
  void hear(Note note);
  [[nodiscard]] runs::Context context() const { return {needs_.clock, needs_.entropy}; }

  Needs needs_;
  MemberConfig config_;
  MemberHooks hooks_;
  bool joined_ = false;
  bool draining_ = false;
  bool store_is_away_ = false;
  bool beat_due_ = true;
  bool requests_due_ = true;
  base::Deadline beat_at_{};
  base::Deadline held_until_{};  // its duties
  std::set<std::string, std::less<>> duties_;
  std::map<std::string, Seen> seen_;
  std::set<std::string> under_way_;  // requests that are being answered
  std::uint64_t request_changes_ = 0;
  base::Event wake_;
  base::Event answers_;
  std::shared_ptr<Mailbox> mailbox_;
  base::TaskScope scope_;
};

}  // namespace agentrouter::nodes
