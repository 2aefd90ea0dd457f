// Rows::runs. One filter drives: its index gives candidates, newest first. The others are checked on each
// candidate, and a call looks at a bounded number of them.

#include <limits>

#include "store/sqlite/columns.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/search_text.h"

namespace agentrouter::store {

namespace {

constexpr int most_candidates = 10'000;

// What is checked without reading the whole run.
struct Candidate {
  RunCursor place;
  std::string status;
  std::string runtime;
  std::string conversation;
};

#define CANDIDATE "SELECT r.n, r.queued_at, r.status, r.runtime_kind, r.conversation_id FROM "
#define BETWEEN_PLACES "(r.queued_at, r.n) < (?, ?) AND r.queued_at > ? ORDER BY r.queued_at DESC, r.n DESC"

Candidate read_candidate(const Statement& row) {
  return {{row.integer(1), row.integer(0)}, row.text(2), row.text(3), row.text(4)};
}

bool is_active(std::string_view status) {
  const auto known = model::parse_run_status(status);
  return known && !model::is_terminal(*known);
}

// The first place that does not belong to the page any more.
RunCursor upper_bound(const RunQuery& query) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  RunCursor bound = query.after.value_or(RunCursor{most, most});
  if (query.created_before) bound = std::min(bound, RunCursor{to_column(*query.created_before), 0});
  return bound;
}

std::int64_t lower_bound(const RunQuery& query) {
  return query.created_after ? to_column(*query.created_after) : std::numeric_limits<std::int64_t>::min();
}

}  // namespace

// Texts that the statement binds are owned by the arguments.
Statement Rows::candidates(const std::string& workspace, const RunQuery& query, const std::string& match) {
  if (!query.text.empty()) {
    auto statement = connection_.statement(
        CANDIDATE
        "run_search s CROSS JOIN runs r ON r.n = s.rowid WHERE run_search MATCH ? AND s.rowid < ? "
        "ORDER BY s.rowid DESC");
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    statement.bind(match).bind(query.after ? query.after->number : most);
    return statement;
  }
  const auto within = [&](Statement statement) {
    const auto bound = upper_bound(query);
    statement.bind(bound.queued_at).bind(bound.number).bind(lower_bound(query));
    return statement;
  };
  if (query.conversation) {
    auto statement = connection_.statement(CANDIDATE
                                           "runs r INDEXED BY runs_of_conversation WHERE workspace_id = ? "
                                           "AND conversation_id = ? AND " BETWEEN_PLACES);
    return within(std::move(statement.bind(workspace).bind(query.conversation->str())));
  }
  if (!query.tags.empty()) {
    auto statement = connection_.statement(
        CANDIDATE
        "run_tags g CROSS JOIN runs r ON r.n = g.run WHERE g.workspace_id = ? AND g.name = ? AND g.value = ? "
        "AND "
        "(g.queued_at, g.run) < (?, ?) AND g.queued_at > ? ORDER BY g.queued_at DESC, g.run DESC");
    statement.bind(workspace).bind(query.tags.front().first).bind(query.tags.front().second);
    return within(std::move(statement));
  }
  if (query.status && *query.status == "active") {
    auto statement = connection_.statement(
        CANDIDATE
        "runs r INDEXED BY runs_active WHERE status IN ('queued', 'starting', 'running', 'cancelling') AND "
        "workspace_id = ? AND " BETWEEN_PLACES);
    return within(std::move(statement.bind(workspace)));
  }
  if (query.status) {
    auto statement =
        connection_.statement(CANDIDATE "runs r WHERE workspace_id = ? AND status = ? AND " BETWEEN_PLACES);
    return within(std::move(statement.bind(workspace).bind(*query.status)));
  }
  if (query.runtime) {
    auto statement = connection_.statement(
        CANDIDATE "runs r WHERE workspace_id = ? AND runtime_kind = ? AND " BETWEEN_PLACES);
    return within(std::move(statement.bind(workspace).bind(to_string(*query.runtime))));
  }
  auto statement = connection_.statement(CANDIDATE "runs r WHERE workspace_id = ? AND " BETWEEN_PLACES);
  return within(std::move(statement.bind(workspace)));
}

bool Rows::has_tag(const std::string& workspace, const RunCursor& run, const std::string& name,
                   const std::string& value) {
  auto statement = connection_.statement(
      "SELECT 1 FROM run_tags WHERE workspace_id = ? AND name = ? AND value = ? AND queued_at = ? AND run = "
      "?");
  statement.bind(workspace).bind(name).bind(value).bind(run.queued_at).bind(run.number);
  return statement.step();
}

RunPage Rows::runs(const std::string& scope, const RunQuery& query) {
  RunPage page;
  const auto& workspace = scope.empty() ? query.workspace : scope;
  const auto match = search_within(workspace, search_expression(query.text));
  if (!query.text.empty() && match.empty()) return page;
  const auto matches = [&](const Candidate& run) {
    if (query.status && run.status != *query.status && !(*query.status == "active" && is_active(run.status)))
      return false;
    if (query.runtime && run.runtime != to_string(*query.runtime)) return false;
    if (query.conversation && run.conversation != query.conversation->str()) return false;
    if (query.created_after && run.place.queued_at <= to_column(*query.created_after)) return false;
    if (query.created_before && run.place.queued_at >= to_column(*query.created_before)) return false;
    return std::all_of(query.tags.begin(), query.tags.end(),
                       [&](const auto& tag) { return has_tag(workspace, run.place, tag.first, tag.second); });
  };
  auto statement = candidates(workspace, query, match);
  RunCursor last;
  RunCursor seen;
  for (int looked_at = 0; statement.step(); ++looked_at) {
    if (looked_at == most_candidates) {
      page.next = seen;
      return page;
    }
    const auto candidate = read_candidate(statement);
    seen = candidate.place;
    if (!matches(candidate)) continue;
    if (static_cast<int>(page.items.size()) == query.limit) {
      page.next = last;
      return page;
    }
    last = candidate.place;
    page.items.push_back(run_at(last.number));
  }
  return page;
}

model::Run Rows::run_at(std::int64_t number) {
  auto statement = connection_.statement(RUN_COLUMNS "WHERE r.n = ?");
  statement.bind(number);
  auto run = one(std::move(statement), read_run);
  if (!run) base::throw_failure(base::Code::corrupt, "a listed run is missing", "store_corrupt");
  return std::move(*run);
}

}  // namespace agentrouter::store
