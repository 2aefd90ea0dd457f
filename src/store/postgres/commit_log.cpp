#include "store/postgres/commit_log.h"

namespace agentrouter::store::postgres {

namespace {

// What "agentrouter" is as a number; of the two-key locks none is ours.
constexpr std::int64_t turn_key = 0x6167656e74726f75;

const Statement wait_for_turn{"wait_for_turn", "SELECT pg_advisory_xact_lock($1)"};
const Statement record_commit{
    "record_commit",
    "WITH moved AS (UPDATE commit_position SET position = position + 1 RETURNING position), "
    "made AS (INSERT INTO commits (position, node, ticket, event_runs, first_sequences, last_sequences, "
    "changed_runs, "
    "statuses, outbox, note_kinds) SELECT position, $1::text, $2::bigint, $3::text[], $4::bigint[], "
    "$5::bigint[], "
    "$6::text[], "
    "$7::text[], $8::boolean, $9::text[] FROM moved RETURNING position) "
    "SELECT position, CASE WHEN $10::boolean THEN pg_notify($11::text, position::text)::text END FROM made"};
const Statement find_commit{"find_commit", "SELECT position FROM commits WHERE node = $1 AND ticket = $2"};
const Statement log_head{
    "log_head",
    "SELECT (SELECT position FROM commit_position), (SELECT min(position) FROM commits), node, ticket "
    "FROM (SELECT 1) AS one LEFT JOIN commits ON position = $1"};
const Statement read_commits{"read_commits",
                             "SELECT position, node, ticket, event_runs, first_sequences, last_sequences, "
                             "changed_runs, statuses, outbox, note_kinds "
                             "FROM commits WHERE position > $1 ORDER BY position LIMIT $2"};
const Statement purge_commits{
    "purge_commits",
    "DELETE FROM commits WHERE position IN (SELECT position FROM commits ORDER BY position LIMIT 20000) "
    "AND made_at < now() - make_interval(secs => $1::bigint)"};

// Events as runs of them, in their order.
std::vector<EventRange> ranges_of(const std::vector<model::Event>& events) {
  std::vector<EventRange> ranges;
  for (const auto& event : events) {
    if (!ranges.empty() && ranges.back().run == event.run_id && ranges.back().last + 1 == event.sequence) {
      ranges.back().last = event.sequence;
    } else {
      ranges.push_back({event.run_id, event.sequence, event.sequence});
    }
  }
  return ranges;
}

LoggedCommit read_commit(const Row& row) {
  LoggedCommit commit{.position = row.integer(0), .name = {row.text(1), row.integer(2)}};
  const auto runs = row.texts(3);
  const auto firsts = row.integers(4);
  const auto lasts = row.integers(5);
  for (std::size_t i = 0; i < runs.size(); ++i)
    commit.events.push_back({model::RunId(runs[i]), firsts.at(i), lasts.at(i)});
  const auto changed = row.texts(6);
  const auto statuses = row.texts(7);
  for (std::size_t i = 0; i < changed.size(); ++i) {
    const auto status = model::parse_run_status(statuses.at(i));
    if (status) commit.changes.push_back({model::RunId(changed[i]), *status});
  }
  commit.outbox_changed = row.boolean(8);
  commit.note_kinds = row.texts(9);
  return commit;
}

}  // namespace

void take_turn(Session& session) {
  (void)session.query(wait_for_turn, turn_key);
}

std::int64_t commit_logged(Session& session, const CommitName& name, const Capture& capture) {
  std::vector<std::string> runs;
  std::vector<std::int64_t> firsts;
  std::vector<std::int64_t> lasts;
  for (const auto& range : ranges_of(capture.events)) {
    runs.push_back(range.run.str());
    firsts.push_back(range.first);
    lasts.push_back(range.last);
  }
  std::vector<std::string> changed;
  std::vector<std::string> statuses;
  for (const auto& change : capture.changes) {
    changed.push_back(change.run.str());
    statuses.emplace_back(to_string(change.status));
  }
  const auto kinds = capture.kinds_of_notes();
  const std::vector<std::string> note_kinds(kinds.begin(), kinds.end());
  const auto rows = session.commit(
      record_commit, Parameters::of(name.node, name.ticket, runs, firsts, lasts, changed, statuses,
                                    capture.outbox_changed, note_kinds, !capture.empty(), commit_channel));
  return rows.front().integer(0);
}

std::optional<std::int64_t> position_of(Session& session, const CommitName& name) {
  const auto rows = session.query(find_commit, name.node, name.ticket);
  if (rows.empty()) return std::nullopt;
  return rows.front().integer(0);
}

LogHead head_of(Session& session, std::int64_t position) {
  const auto rows = session.query(log_head, position);
  const auto row = rows.front();
  LogHead head{.position = row.integer(0), .first = row.integer(1)};
  if (!row.is_null(2)) head.at_position = CommitName{row.text(2), row.integer(3)};
  return head;
}

std::vector<LoggedCommit> commits_after(Session& session, std::int64_t after, int limit) {
  std::vector<LoggedCommit> commits;
  for (const auto row : session.query(read_commits, after, limit)) commits.push_back(read_commit(row));
  return commits;
}

void forget_commits(Session& session, std::chrono::seconds older_than) {
  session.send(purge_commits, static_cast<std::int64_t>(older_than.count()));
}

}  // namespace agentrouter::store::postgres
