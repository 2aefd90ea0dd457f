#pragma once
// Everything that a run uses against its limits: says limit.warning at 50, 80 and 95 %, once each for a
// limit, limit.exceeded at the end, and has the run stopped. What requests to providers use is journaled as
// it happens.

#include <functional>
#include <map>

#include "egress/egress.h"
#include "keeper/recorder.h"
#include "keeper/spending_plan.h"
#include "model/run.h"

namespace agentrouter::keeper {

class LimitWatch final : public egress::SpendingObserver {
 public:
  // Both outlive it.
  LimitWatch(Recorder& recorder, const SpendingPlan& plan) : recorder_(recorder), plan_(plan) {}

  // Called once when the run is to end, at once if it is already. None: the end is kept until there is one.
  void on_stop(std::function<void(const model::RunFailure&)> listener);
  // Called when more allowance is wanted.
  void on_wish(std::function<void(const policy::Amount& have, const policy::Amount& needed)> listener) {
    wish_ = std::move(listener);
  }

  bool on_spent(const policy::Amount& delta) override;
  void on_end(const egress::SpendingEnd& end) override;
  void on_need(const policy::Amount& have, const policy::Amount& needed) override;

  // A request of the sandbox has ended.
  void see_request(const egress::RequestRecord& record);
  // The agent has written so much more; false when that is more than it may.
  [[nodiscard]] bool take_output(std::size_t bytes);
  // An action begins; false when there may be no more of them, and then the run ends.
  [[nodiscard]] bool take_action();
  [[nodiscard]] bool has_actions() const { return !plan_.limits.actions || actions_ < *plan_.limits.actions; }
  // The run has taken so long.
  void see_time(std::chrono::milliseconds taken);
  // When there is something to say about the time; none: never again.
  [[nodiscard]] std::optional<std::chrono::milliseconds> next_time() const;

  // Why the run has to end.
  [[nodiscard]] const std::optional<model::RunFailure>& failure() const { return failure_; }
  // {wallSeconds, tokens, costUsd, actions, outputBytes, networkBytes}
  [[nodiscard]] json::object used() const;

 private:
  void warn(std::string_view limit, std::int64_t used, const std::optional<std::int64_t>& most);
  void exceed(std::string_view limit, std::int64_t used, std::int64_t most, std::string reason);
  void stop(model::RunFailure failure);
  void event(std::string_view type, json::object payload);

  Recorder& recorder_;
  const SpendingPlan& plan_;
  std::function<void(const model::RunFailure&)> stop_;
  std::function<void(const policy::Amount&, const policy::Amount&)> wish_;
  std::optional<model::RunFailure> failure_;
  std::map<std::string, int, std::less<>> warned_;
  policy::Amount spent_;
  std::int64_t actions_ = 0;
  std::int64_t output_bytes_ = 0;
  std::int64_t network_bytes_ = 0;
  std::chrono::milliseconds taken_{0};
};

}  // namespace agentrouter::keeper
