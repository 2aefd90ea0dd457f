#pragma once
// What the egress tells the keeper: each provider request becomes an event, the first one makes the attempt
// one that is not safe to repeat, and all together are the run's usage.

#include "agents/session.h"
#include "egress/egress.h"
#include "keeper/recorder.h"
#include "model/run.h"

namespace agentrouter::keeper {

// How the provider refused the sandbox's last request, or why that did not come back whole.
struct ProviderTrouble {
  int status = 0;
  std::string reason;  // of egress::RequestRecord
  std::optional<std::chrono::milliseconds> retry_after;
};

// Gives a failed turn the cause that the egress saw, where the agent could not know or tell it: its own
// limits look to an agent like a provider that forbids or is away.
void name_cause(model::RunFailure& failure, const std::optional<ProviderTrouble>& trouble);

class ProviderWatch final : public egress::Observer {
 public:
  // `recorder` outlives it.
  explicit ProviderWatch(Recorder& recorder) : recorder_(recorder) {}

  // Called after each request.
  void on_traffic(std::function<void()> listener) { traffic_ = std::move(listener); }

  // Called with each of them, before it is recorded.
  void on_request(std::function<void(const egress::RequestRecord&)> listener) { request_ = std::move(listener); }

  base::Task<base::Result<void>> on_first_forward() override;
  void on_request_done(const egress::RequestRecord& record) override;
  void on_denied(const egress::RequestRecord& record, std::uint64_t total) override;

  // {inputTokens, cachedInputTokens, outputTokens, reasoningOutputTokens, requests, bytesIn, bytesOut}: the
  // provider's own counts where it gave any, else the agent's.
  [[nodiscard]] json::object usage(const std::optional<agents::TokenUsage>& of_agent) const;
  // Of the sandbox's last request to a provider; nothing when that was answered well.
  [[nodiscard]] const std::optional<ProviderTrouble>& last_trouble() const { return last_; }
  // The tool that an answer was cut for; empty when none was.
  [[nodiscard]] const std::string& ungated_tool() const { return ungated_tool_; }
  // What went wrong when an event could not be recorded.
  [[nodiscard]] const std::optional<base::Error>& trouble() const { return trouble_; }

 private:
  void record(const egress::RequestRecord& record, std::optional<std::uint64_t> total);
  void remember(const egress::RequestRecord& record);

  Recorder& recorder_;
  std::function<void()> traffic_;
  std::function<void(const egress::RequestRecord&)> request_;
  std::optional<base::Error> trouble_;
  std::optional<ProviderTrouble> last_;
  std::string ungated_tool_;
  agents::TokenUsage tokens_;
  bool metered_ = false;
  std::int64_t requests_ = 0;
  std::int64_t bytes_in_ = 0;
  std::int64_t bytes_out_ = 0;
};

}  // namespace agentrouter::keeper
