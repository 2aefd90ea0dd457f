// The queue and its shares, what there is in all, and the removal of runs.

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>

#include "store/postgres/transaction.h"
#include "store/postgres/words.h"

namespace agentrouter::store::postgres {

namespace {

struct WaitingRun {
  std::string id;
  std::int64_t priority = 0;
  std::int64_t number = 0;
};

// A share of the queue, and those of its runs that may be asked for.
struct Share {
  std::string name;
  std::int64_t active = 0;
  std::int64_t served = 0;
  std::vector<WaitingRun> runs = {};
  std::size_t taken = 0;

  [[nodiscard]] auto turn() const { return std::tie(active, served, name); }
};

// What a share waits for is read from its own part of the index; one whose turn it is cannot be behind as
// many others as are asked for. A writer takes what it reads: a run that another transaction has locked is
// passed over.
#define PG_QUEUE(lock)                                                                                     \
  "SELECT s.name, s.active, s.served, r.id, r.priority, r.n, (SELECT value FROM totals WHERE name = "      \
  "'served') FROM "                                                                                        \
  "(SELECT name, active, served FROM shares WHERE queued > 0 AND EXISTS (SELECT 1 FROM lanes WHERE "       \
  "lanes.share = shares.name AND lanes.queued > 0 AND lane <> ALL ($2::text[])) ORDER BY active, served, " \
  "name LIMIT $1) s CROSS JOIN LATERAL (SELECT lane FROM lanes WHERE lanes.share = s.name AND queued > 0 " \
  "AND lane <> ALL ($2::text[])) l CROSS JOIN LATERAL (SELECT id, priority, n FROM runs WHERE status = "   \
  "'queued' AND share = s.name AND lane = l.lane ORDER BY priority DESC, n LIMIT $1 " lock ") r"

// What is named by the id of a run, each with an index that begins with it: the first so many of its rows.
#define PG_SOME_OF(name, table, condition)                                                 \
  {"remove_" name, "DELETE FROM " table " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " table \
                   " WHERE run_id = $1 " condition "LIMIT $2))"}
constexpr std::array<Statement, 6> tables_by_id{
    {PG_SOME_OF("actions", "actions", ""), PG_SOME_OF("approvals", "approvals", ""),
     PG_SOME_OF("standing_rules", "standing_rules", ""), PG_SOME_OF("attempts", "attempts", "AND open = 0 "),
     PG_SOME_OF("allowance_lots", "allowance_lots", ""), PG_SOME_OF("run_spending", "run_spending", "")}};

std::vector<Share> read_shares(const Rows& rows) {
  std::vector<Share> shares;
  for (const auto row : rows) {
    const Cells cells(row);
    const auto name = cells.text(0);
    auto share =
        std::find_if(shares.begin(), shares.end(), [&](const Share& known) { return known.name == name; });
    if (share == shares.end()) share = shares.insert(share, {name, cells.integer(1), cells.integer(2)});
    share->runs.push_back({cells.text(3), cells.integer(4), cells.integer(5)});
  }
  for (auto& share : shares) {
    std::sort(share.runs.begin(), share.runs.end(), [](const WaitingRun& left, const WaitingRun& right) {
      return std::tuple(-left.priority, left.number) < std::tuple(-right.priority, right.number);
    });
  }
  return shares;
}

}  // namespace

std::vector<model::RunId> Tables::queued_runs(int limit, const std::vector<std::string>& left_out) {
  static constexpr Statement look{"queue", PG_QUEUE("")};
  static constexpr Statement claim{"queue_to_claim", PG_QUEUE("FOR UPDATE SKIP LOCKED")};
  std::vector<std::string> passed;
  for (const auto& lane : left_out) passed.push_back(to_stored(lane));
  const auto rows = ask(known_ != nullptr ? claim : look, limit, passed);
  auto shares = read_shares(rows);
  std::int64_t served = rows.empty() ? 0 : rows.front().integer(6);
  std::vector<model::RunId> runs;
  while (static_cast<int>(runs.size()) < limit && !shares.empty()) {
    const auto next =
        std::min_element(shares.begin(), shares.end(),
                         [](const Share& left, const Share& right) { return left.turn() < right.turn(); });
    runs.emplace_back(next->runs[next->taken].id);
    next->taken += 1;
    next->active += 1;
    next->served = ++served;
    if (next->taken == next->runs.size()) shares.erase(next);
  }
  return runs;
}

std::vector<Lane> Tables::lanes() {
  static constexpr Statement find{
      "lanes",
      "SELECT lane, sum(queued)::bigint, sum(active)::bigint FROM lanes GROUP BY lane ORDER BY lane"};
  return all(ask(find), [](const Cells& row) { return Lane{row.text(0), row.integer(1), row.integer(2)}; });
}

std::optional<base::Time> Tables::oldest_queued() {
  static constexpr Statement find{
      "oldest_queued", "SELECT queued_at FROM runs WHERE status = 'queued' ORDER BY queued_at LIMIT 1"};
  return one(ask(find), [](const Cells& row) { return row.time(0); });
}

bool Tables::has_active_runs() {
  static constexpr Statement find{"has_active_runs", "SELECT 1 FROM shares LIMIT 1"};
  return !ask(find).empty();
}

std::int64_t Tables::queued_of_share(std::string_view share) {
  static constexpr Statement find{"queued_of_share", "SELECT queued FROM shares WHERE name = $1"};
  const auto rows = ask(find, share);
  return rows.empty() ? 0 : rows.front().integer(0);
}

Totals Tables::totals() {
  static constexpr Statement find{
      "totals",
      "SELECT (SELECT value FROM totals WHERE name = 'queued_runs'), (SELECT value FROM totals WHERE name = "
      "'ended_runs'), (SELECT value FROM totals WHERE name = 'artifact_bytes'), "
      "pg_database_size(current_database())"};
  const auto rows = ask(find);
  const auto row = rows.front();
  return {row.integer(0), row.integer(1), row.integer(2), row.integer(3)};
}

bool Tables::has_open_attempt(const model::RunId& run) {
  static constexpr Statement find{"has_open_attempt",
                                  "SELECT 1 FROM attempts WHERE run_id = $1 AND open = 1 LIMIT 1"};
  return !ask(find, run).empty();
}

std::vector<EndedRun> Tables::ended_runs(const EndedQuery& query) {
  static constexpr Statement find{
      "ended_runs",
      "SELECT r.id, r.completed_at, r.n, c.reclaimed FROM runs r CROSS JOIN LATERAL "
      "(SELECT reclaimed FROM conversations WHERE conversations.id = r.conversation_id OFFSET 0) c "
      "WHERE status IN ('completed', 'failed', 'cancelled') AND position('\"keep\":' IN tags) = 0 "
      "AND (r.completed_at, r.n) > ($1::bigint, $2::bigint) ORDER BY r.completed_at, r.n LIMIT $3"};
  constexpr auto first = std::numeric_limits<std::int64_t>::min();
  const auto after = query.after ? query.after->time_since_epoch().count() : first;
  return all(ask(find, std::int64_t{after}, query.after_number, query.limit), [](const Cells& row) {
    return EndedRun{model::RunId(row.text(0)), row.time(1), row.integer(2), row.integer(3) != 0};
  });
}

std::vector<DeletedRun> Tables::deleted_runs(int limit) {
  static constexpr Statement find{
      "deleted_runs",
      "SELECT id, conversation_id, turn_number, deleted_at FROM deleted_runs ORDER BY n LIMIT $1"};
  return all(ask(find, limit), [](const Cells& row) {
    return DeletedRun{model::RunId(row.text(0)), model::RunId(row.text(1)), static_cast<int>(row.integer(2)),
                      row.time(3)};
  });
}

void PgTransaction::delete_run(const model::RunId& id, base::Time now) {
  static constexpr Statement tags{
      "delete_tags",
      "DELETE FROM run_tags g USING unnest($1::text[], $2::text[]) was(name, value) "
      "WHERE g.workspace_id = $5 AND g.name = was.name AND g.value = was.value AND queued_at = $3 AND run = "
      "$4"};
  static constexpr Statement texts{"delete_texts", "DELETE FROM run_texts WHERE run = $1"};
  static constexpr Statement row{"delete_run", "DELETE FROM runs WHERE n = $1"};
  static constexpr Statement messages{
      "delete_messages_of_run",
      "DELETE FROM webhook_deliveries d WHERE run_id = $1 AND run_id <> '' AND (state <> 'pending' OR NOT "
      "EXISTS "
      "(SELECT 1 FROM webhooks w WHERE w.id = d.webhook_id AND w.enabled = 1))"};
  static constexpr Statement note{
      "note_deleted_run",
      "INSERT INTO deleted_runs (n, id, month, conversation_id, turn_number, deleted_at) "
      "VALUES ($1, $2, $3, $4, $5, $6)"};
  const auto run = tables_.run({}, id);
  if (!run) base::throw_failure(base::Code::not_found, "no run " + id.str(), "run_not_found");
  const auto place = *tables_.place_of(id);
  const auto answer = tables_.last_event_of_type(id, "agent.response");
  auto words = words_of(run->task + " " + (answer ? answer_text(answer->payload) : std::string()));
  forget_words(place.n, words);
  std::vector<std::string> names;
  std::vector<std::string> tag_values;
  for (const auto& [name, value] : run->tags) {
    names.push_back(to_stored(name));
    tag_values.push_back(to_stored(value));
  }
  if (!names.empty()) tell(tags, names, tag_values, run->queued_at, place.n, run->workspace_id);
  tell(texts, place.n);
  tell(row, place.n);
  tell(messages, id);
  tell(note, place.n, id, place.month, run->conversation_id, run->turn_number, now);
  known_.forget(id);
  capture_.changes.push_back({id, run->status});
}

void PgTransaction::delete_artifact(const model::ArtifactId& artifact) {
  static constexpr Statement remove{"delete_artifact", "DELETE FROM artifacts WHERE id = $1"};
  tell(remove, artifact);
}

int PgTransaction::remove_deleted(const model::RunId& run, int rows) {
  static constexpr Statement find{"deleted_run", "SELECT n, month FROM deleted_runs WHERE id = $1"};
  static constexpr Statement events{"remove_events",
                                    "DELETE FROM events WHERE run = $1 AND month = $2 AND sequence = ANY "
                                    "(ARRAY(SELECT sequence FROM events "
                                    "WHERE run = $1 AND month = $2 ORDER BY sequence LIMIT $3))"};
  static constexpr Statement forget{"forget_deleted_run", "DELETE FROM deleted_runs WHERE n = $1"};
  const auto found = tables_.ask(find, run);
  if (found.empty()) return 0;
  const auto number = found.front().integer(0);
  int left = rows - change(events, number, found.front().integer(1), rows);
  for (const auto& statement : tables_by_id) {
    if (left <= 0) return rows;
    left -= change(statement, run, left);
  }
  if (left > 0 && tables_.artifacts(run).empty()) tell(forget, number);
  return rows - left;
}

void PgTransaction::delete_conversation(const model::RunId& conversation) {
  static constexpr Statement remove{"delete_conversation", "DELETE FROM conversations WHERE id = $1"};
  tell(remove, conversation);
}

}  // namespace agentrouter::store::postgres
