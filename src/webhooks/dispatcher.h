#pragma once
// Sends the messages of the outbox. Each is sent until the endpoint takes it, its attempts are used up, or
// the endpoint is disabled: at least once, whatever dies, under one webhook-id. Commits and the times of the
// next attempts wake it; nothing polls.
//
// An endpoint has two messages under way at most and nothing in common with the others, so one that hangs,
// floods or fails holds up only itself; all together there are twice as many connections as webhooks may be.

#include <map>
#include <memory>
#include <set>

#include "base/event.h"
#include "base/task_scope.h"
#include "webhooks/endpoints.h"

namespace agentrouter::webhooks {

inline constexpr std::size_t sends_per_endpoint = 2;
inline constexpr std::chrono::hours messages_are_kept{7 * 24};
// More messages than this that wait: the endpoint is disabled.
inline constexpr std::int64_t longest_backlog = 50'000;

class Dispatcher final : public store::CommitListener {
 public:
  // Everything that is passed by reference outlives it, and `store` its registration: from create to destroy.
  struct Needs {
    base::Executor executor;
    store::Store& store;
    Sender& sender;
    vault::Vault& vault;  // opens secrets
    const base::Clock& clock;
    base::Entropy& entropy;
    // Of all servers of a store one sends. Call wake() when it says something else.
    std::function<bool()> may_send = [] { return true; };
  };
  Dispatcher(Needs needs, GuardRules rules, std::int64_t longest_backlog = webhooks::longest_backlog);
  ~Dispatcher() override;

  // Until it is cancelled. A message that is under way then is sent again at the next start.
  base::Task<void> run();
  // Look again: something may be due. On the executor.
  void wake();

  void committed(std::shared_ptr<const std::vector<model::Event>>) override {}
  void run_changed(const model::RunId&, model::RunStatus) override {}
  void outbox_changed() override;
  void missed() override { outbox_changed(); }

 private:
  struct Mailbox {
    Dispatcher* dispatcher;  // only looked at on the executor
  };
  struct Due {
    store::Webhook webhook;
    std::vector<store::Delivery> deliveries;
  };

  base::Task<void> work();
  base::Task<std::vector<Due>> read_due();
  base::Task<base::Deadline> send_due();
  base::Task<void> send(store::Webhook webhook, store::Delivery delivery);
  base::Task<void> attempt(const store::Webhook& webhook, const store::Delivery& delivery);
  base::Task<void> tidy();
  base::Task<void> cap_backlogs();
  [[nodiscard]] runs::Context context() const { return {needs_.clock, needs_.entropy}; }

  Needs needs_;
  GuardRules rules_;
  std::int64_t longest_backlog_;
  base::Event wake_;
  bool due_ = true;
  base::Deadline held_until_{};  // nothing is sent before: the store could not say what came of it
  base::Deadline tidy_at_{};
  std::map<std::string, std::set<std::string>> under_way_;  // messages by endpoint
  std::shared_ptr<Mailbox> mailbox_;
  base::TaskScope scope_;
};

}  // namespace agentrouter::webhooks
