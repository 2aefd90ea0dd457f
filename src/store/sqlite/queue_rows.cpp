// The queue: shares, which are served in turn, and lanes, of which some are passed over.

#include <algorithm>
#include <limits>
#include <tuple>

#include "base/json.h"
#include "store/sqlite/columns.h"
#include "store/sqlite/rows.h"

namespace agentrouter::store {

namespace {

struct QueuedRun {
  std::string id;
  std::int64_t priority = 0;
  std::int64_t number = 0;

  [[nodiscard]] auto turn() const { return std::tuple(-priority, number); }
};

// The first run of a lane that was not taken.
struct LaneHead {
  std::string lane;
  std::int64_t taken = 0;
  std::optional<QueuedRun> run;
};

struct Share {
  std::string name;
  std::int64_t active = 0;
  std::int64_t served = 0;
  bool is_open = false;  // `lanes` is read
  std::vector<LaneHead> lanes = {};

  [[nodiscard]] auto turn() const { return std::tie(active, served, name); }
};

class Queue {
 public:
  Queue(Connection& connection, const std::vector<std::string>& left_out) : connection_(connection) {
    json::array names;
    for (const auto& name : left_out) names.emplace_back(name);
    left_out_ = base::to_text(names);
  }

  // The one whose turn it is cannot be behind as many others as are asked for.
  std::vector<Share> shares(int limit) {
    auto statement = connection_.statement(
        "SELECT name, active, served FROM shares s WHERE queued > 0 AND EXISTS (SELECT 1 FROM lanes l WHERE "
        "l.share = s.name AND l.queued > 0 AND l.lane NOT IN (SELECT value FROM json_each(?))) "
        "ORDER BY active, served, name LIMIT ?");
    statement.bind(left_out_).bind(std::int64_t{limit});
    return all(std::move(statement), [](const Statement& row) {
      return Share{row.text(0), row.integer(1), row.integer(2)};
    });
  }

  // Nothing when no run of the share is left.
  std::optional<QueuedRun> take(Share& share) {
    if (!share.is_open) open(share);
    const auto first = std::min_element(share.lanes.begin(), share.lanes.end(), [](const auto& left, const auto& right) {
      return left.run->turn() < right.run->turn();
    });
    if (first == share.lanes.end()) return std::nullopt;
    auto taken = std::move(first->run);
    first->taken += 1;
    first->run = head(share.name, first->lane, first->taken);
    if (!first->run) share.lanes.erase(first);
    return taken;
  }

 private:
  void open(Share& share) {
    auto statement = connection_.statement(
        "SELECT lane FROM lanes WHERE share = ? AND queued > 0 AND lane NOT IN (SELECT value FROM json_each(?))");
    statement.bind(share.name).bind(left_out_);
    share.lanes = all(std::move(statement), [](const Statement& row) { return LaneHead{row.text(0), 0, {}}; });
    for (auto& lane : share.lanes) lane.run = head(share.name, lane.lane, 0);
    std::erase_if(share.lanes, [](const LaneHead& lane) { return !lane.run; });
    share.is_open = true;
  }

  std::optional<QueuedRun> head(const std::string& share, const std::string& lane, std::int64_t skip) {
    auto statement = connection_.statement(
        "SELECT id, priority, n FROM runs WHERE status = 'queued' AND share = ? AND lane = ? "
        "ORDER BY priority DESC, n LIMIT 1 OFFSET ?");
    statement.bind(share).bind(lane).bind(skip);
    return one(std::move(statement),
               [](const Statement& row) { return QueuedRun{row.text(0), row.integer(1), row.integer(2)}; });
  }

  Connection& connection_;
  std::string left_out_;
};

}  // namespace

std::vector<model::RunId> Rows::queued_runs(int limit, const std::vector<std::string>& left_out) {
  Queue queue(connection_, left_out);
  auto shares = queue.shares(limit);
  std::int64_t served = number_from("SELECT value FROM totals WHERE name = 'served'");
  std::vector<model::RunId> runs;
  while (static_cast<int>(runs.size()) < limit && !shares.empty()) {
    const auto next = std::min_element(shares.begin(), shares.end(), [](const Share& left, const Share& right) {
      return left.turn() < right.turn();
    });
    if (auto run = queue.take(*next)) {
      runs.emplace_back(std::move(run->id));
      next->active += 1;
      next->served = ++served;
    } else {
      shares.erase(next);
    }
  }
  return runs;
}

std::vector<Lane> Rows::lanes() {
  auto statement = connection_.statement("SELECT lane, sum(queued), sum(active) FROM lanes GROUP BY lane ORDER BY lane");
  return all(std::move(statement),
             [](const Statement& row) { return Lane{row.text(0), row.integer(1), row.integer(2)}; });
}

std::optional<base::Time> Rows::oldest_queued() {
  auto statement = connection_.statement(
      "SELECT queued_at FROM runs WHERE status = 'queued' ORDER BY queued_at LIMIT 1");
  return one(std::move(statement), [](const Statement& row) { return time_at(row, 0); });
}

std::int64_t Rows::queued_of_share(std::string_view share) {
  auto statement = connection_.statement("SELECT queued FROM shares WHERE name = ?");
  statement.bind(share);
  return statement.step() ? statement.integer(0) : 0;
}

}  // namespace agentrouter::store
