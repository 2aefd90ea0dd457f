#include "worker/unplaced.h"

#include <algorithm>

#include "base/log.h"
#include "runs/nodes.h"

namespace agentrouter::worker {

namespace {

constexpr int unplaced_at_once = 50;
constexpr std::chrono::milliseconds look_at_most_every{1000};

std::string needs_text(const runs::Needs& needs) {
  std::string text;
  for (const auto& [name, value] : needs) text += (text.empty() ? "" : ", ") + name + "=" + value;
  return text;
}

}  // namespace

base::Task<Unplaced::Lanes> Unplaced::read() {
  co_return co_await context_.needs.store.read([](store::Reader& reader) {
    Lanes lanes;
    const auto nodes = runs::nodes(reader);
    for (const auto& lane : reader.lanes()) {
      if (lane.queued == 0) continue;
      lanes.all.push_back(lane.name);
      const auto lacks = runs::unplaceable(nodes, runs::LaneKey::parse(lane.name).needs);
      if (!lacks) continue;
      lanes.unplaceable.push_back(lane.name);
      lanes.why[lane.name] = lacks->workers == 0 ? "no worker takes runs"
                                                 : "no worker has " + needs_text(lacks->missing);
    }
    return lanes;
  });
}

base::Task<void> Unplaced::sweep() {
  next_look_ = base::Deadline::max();
  const auto patience = context_.config.unplaceable_after;
  if (patience.count() == 0) co_return;
  const auto lanes = co_await read();
  const auto now = base::SteadyClock::now();
  std::map<std::string, base::Deadline> since;
  for (const auto& lane : lanes.unplaceable) {
    const auto known = since_.find(lane);
    since[lane] = known == since_.end() ? now : known->second;
  }
  since_ = std::move(since);
  for (const auto& [lane, first] : since_) {
    if (now >= first + patience) co_await fail_runs(lane, lanes);
  }
  // Lanes that come to wait are noticed, too.
  next_look_ = base::after(std::max(look_at_most_every, patience / 4));
}

base::Task<void> Unplaced::fail_runs(const std::string& lane, const Lanes& lanes) {
  std::vector<std::string> others;
  std::ranges::copy_if(lanes.all, std::back_inserter(others), [&lane](const auto& one) { return one != lane; });
  const auto oldest = context_.needs.clock.now() - context_.config.unplaceable_after;
  const model::RunFailure failure{
      "unplaceable", "The run waited for a worker that can carry it out: " + lanes.why.at(lane), {}};
  const int failed = co_await context_.needs.store.write([&](store::Transaction& tx) {
    int count = 0;
    for (const auto& id : tx.queued_runs(unplaced_at_once, others)) {
      const auto run = tx.run(id);
      if (!run || run->queued_at > oldest) continue;
      if (runs::fail_queued_run(tx, id, failure, context_.now(), context_.config.conversations)) ++count;
    }
    return count;
  });
  if (failed > 0)
    base::log(base::LogLevel::warn, "runs failed that no worker can carry out", {{"runs", failed}, {"cause", lanes.why.at(lane)}});
}

}  // namespace agentrouter::worker
