#include "runs/queue.h"

#include <algorithm>

#include "model/audit.h"
#include "runs/placement.h"

namespace agentrouter::runs {

namespace {

constexpr int look_again_seconds = 10;

std::string share_of(const model::Run& run, std::string_view api_key, const QueueRules& rules) {
  if (run.workspace_id != model::default_workspace) return "workspace:" + run.workspace_id;
  if (!rules.share_tag.empty()) {
    const auto tag = std::ranges::find(run.tags, rules.share_tag, &model::Tags::value_type::first);
    if (tag != run.tags.end()) return "tag:" + tag->second;
  }
  return std::string(api_key);
}

base::Error queue_full(std::string_view scope, std::int64_t limit, std::int64_t queued) {
  return {base::Code::exhausted,
          std::to_string(queued) + " runs wait already" +
              (scope == "share" ? " of those that share with this one" : "") + ": the queue holds " +
              std::to_string(limit),
          "queue_full",
          base::to_text(json::object{{"scope", scope},
                                     {"limit", limit},
                                     {"queued", queued},
                                     {"retryAfterSeconds", look_again_seconds}})};
}

// Errors: conflict (provider_key_required).
base::Result<void> check_provider_key(store::Reader& reader, const model::Run& run) {
  const auto provider = provider_of(run.runtime);
  if (reader.provider_key(run.workspace_id, provider)) return {};
  return base::fail(base::Code::conflict,
                    "this server runs nothing on its own provider keys, and the workspace has none for " +
                        std::string(provider) + ": agentrouter provider-keys set " + std::string(provider),
                    "provider_key_required", base::to_text(json::object{{"provider", provider}}));
}

}  // namespace

std::string_view provider_of(const model::Runtime& runtime) {
  return runtime.kind == model::RuntimeKind::codex ? "openai" : "anthropic";
}

base::Result<QueuePlace> admit_queued(store::Reader& reader, const model::Run& run, std::string_view api_key,
                                      const QueueRules& rules) {
  if (rules.needs_provider_key) {
    if (auto there = check_provider_key(reader, run); !there) return tl::unexpected(there.error());
  }
  auto share = share_of(run, api_key, rules);
  if (rules.max_queued > 0) {
    const auto queued = reader.totals().queued_runs;
    if (queued >= rules.max_queued) return tl::unexpected(queue_full("all", rules.max_queued, queued));
  }
  if (rules.max_queued_of_share > 0) {
    const auto queued = reader.queued_of_share(share);
    if (queued >= rules.max_queued_of_share)
      return tl::unexpected(queue_full("share", rules.max_queued_of_share, queued));
  }
  return QueuePlace{std::move(share), LaneKey{run.workspace_id, needs_of(run, rules.roots)}.name()};
}

}  // namespace agentrouter::runs
