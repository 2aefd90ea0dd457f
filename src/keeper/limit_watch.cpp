#include "keeper/limit_watch.h"

#include "keeper/attempt.h"

namespace agentrouter::keeper {
namespace {

constexpr std::string_view cost_limit = "maxCostUsd";

json::value shown(std::string_view limit, std::int64_t value) {
  if (limit == cost_limit) return policy::usd_of(value);
  return value;
}

}  // namespace

void LimitWatch::on_stop(std::function<void(const model::RunFailure&)> listener) {
  stop_ = std::move(listener);
  if (stop_ && failure_) stop_(*failure_);
}

bool LimitWatch::on_spent(const policy::Amount& delta) {
  spent_ = spent_ + delta;
  try {
    auto data = amount_json(delta);
    data["used"] = used();
    recorder_.record("spent", std::move(data));
  } catch (const base::Failure& failure) {
    stop(failure_of_error(failure.error()));
    return false;
  }
  warn("maxTokens", spent_.tokens, plan_.limits.tokens);
  warn(cost_limit, spent_.cost, plan_.limits.cost);
  return true;
}

void LimitWatch::on_end(const egress::SpendingEnd& end) {
  if (failure_) return;
  if (end.code == "limit_exceeded") {
    json::object payload{{"limit", end.limit}, {"reason", end.reason}};
    const auto add = [&](std::int64_t used, const std::optional<std::int64_t>& most) {
      payload["used"] = shown(end.limit, used);
      if (most) payload["max"] = shown(end.limit, *most);
    };
    if (end.limit == "maxTokens") add(spent_.tokens, plan_.limits.tokens);
    if (end.limit == cost_limit) add(spent_.cost, plan_.limits.cost);
    event("limit.exceeded", std::move(payload));
  }
  stop({end.code, end.reason, end.limit});
}

void LimitWatch::on_need(const policy::Amount& have, const policy::Amount& needed) {
  if (wish_) wish_(have, needed);
}

void LimitWatch::see_request(const egress::RequestRecord& record) {
  if (record.decision != egress::Decision::answered)
    network_bytes_ += static_cast<std::int64_t>(record.bytes_in + record.bytes_out);
  const auto& most = plan_.limits.network_bytes;
  warn("maxNetworkBytes", network_bytes_, most);
  const bool ours = most && static_cast<std::uint64_t>(*most) <= egress::Config().total_bytes;
  if (record.reason != "egress_limit" || !ours) return;
  exceed("maxNetworkBytes", network_bytes_, *most, "The run moved more bytes over the network than it may");
}

bool LimitWatch::take_output(std::size_t bytes) {
  output_bytes_ += static_cast<std::int64_t>(bytes);
  const auto& most = plan_.limits.output_bytes;
  warn("maxOutputBytes", output_bytes_, most);
  if (!most || output_bytes_ <= *most) return true;
  exceed("maxOutputBytes", output_bytes_, *most, "The agent wrote more than it may");
  return false;
}

bool LimitWatch::take_action() {
  const auto& most = plan_.limits.actions;
  if (most && actions_ >= *most) {
    exceed("maxActions", actions_, *most, "The agent wanted to do more than its number of actions");
    return false;
  }
  ++actions_;
  warn("maxActions", actions_, most);
  return !failure_;
}

void LimitWatch::see_time(std::chrono::milliseconds taken) {
  taken_ = taken;
  const auto& most = plan_.limits.wall_seconds;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(taken);
  if (!most) return;
  const std::chrono::milliseconds whole = std::chrono::seconds(*most);
  // In milliseconds, so that a mark is reached when it is.
  const int mark = policy::next_warning(taken.count(), whole.count(), warned_["maxWallSeconds"]);
  if (mark != 0) {
    warned_["maxWallSeconds"] = mark;
    event("limit.warning",
          {{"limit", "maxWallSeconds"}, {"percent", mark}, {"used", seconds.count()}, {"max", *most}});
  }
  if (taken >= whole) exceed("maxWallSeconds", seconds.count(), *most, "The run took longer than it may");
}

std::optional<std::chrono::milliseconds> LimitWatch::next_time() const {
  const auto& most = plan_.limits.wall_seconds;
  if (!most || failure_) return std::nullopt;
  const std::chrono::milliseconds whole = std::chrono::seconds(*most);
  const auto found = warned_.find("maxWallSeconds");
  for (const int mark : policy::warning_marks) {
    if (found == warned_.end() || mark > found->second) return whole * mark / 100;
  }
  return whole;
}

json::object LimitWatch::used() const {
  return {{"wallSeconds", std::chrono::duration_cast<std::chrono::seconds>(taken_).count()},
          {"tokens", spent_.tokens},
          {"costUsd", policy::usd_of(spent_.cost)},
          {"actions", actions_},
          {"outputBytes", output_bytes_},
          {"networkBytes", network_bytes_}};
}

void LimitWatch::warn(std::string_view limit, std::int64_t used, const std::optional<std::int64_t>& most) {
  if (!most || failure_) return;
  auto& warned = warned_[std::string(limit)];
  const int mark = policy::next_warning(used, *most, warned);
  if (mark == 0) return;
  warned = mark;
  event("limit.warning",
        {{"limit", limit}, {"percent", mark}, {"used", shown(limit, used)}, {"max", shown(limit, *most)}});
}

void LimitWatch::exceed(std::string_view limit, std::int64_t used, std::int64_t most, std::string reason) {
  if (failure_) return;
  event("limit.exceeded",
        {{"limit", limit}, {"used", shown(limit, used)}, {"max", shown(limit, most)}, {"reason", reason}});
  stop({"limit_exceeded", std::move(reason), std::string(limit)});
}

void LimitWatch::stop(model::RunFailure failure) {
  if (failure_) return;
  failure_ = std::move(failure);
  if (stop_) stop_(*failure_);
}

void LimitWatch::event(std::string_view type, json::object payload) {
  try {
    recorder_.event(type, model::Visibility::open, std::move(payload));
  } catch (const base::Failure& failure) {
    stop(failure_of_error(failure.error()));
  }
}

}  // namespace agentrouter::keeper
