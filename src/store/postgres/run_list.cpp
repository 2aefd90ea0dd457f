// Tables::runs. One filter drives: its index gives candidates, newest first. The others are checked on each
// candidate, and a call looks at a bounded number of them. The drivers are subqueries with a limit of their
// own, so PostgreSQL walks along the index only until the page is full.

#include <algorithm>
#include <limits>

#include "store/postgres/tables.h"
#include "store/postgres/words.h"

namespace agentrouter::store::postgres {

namespace {

#define MOST_CANDIDATES "10000"
#define BEHIND_THEM "OFFSET 9999 LIMIT 2"

// $1, $2: before which place; $3: later than when; $4: what the driver looks for; $5: in which workspace.
// Where a driver has no use for one of them it says so, because each statement of a kind is given the same.
#define BETWEEN_PLACES \
  "workspace_id = $5 AND (queued_at, n) < ($1::bigint, $2::bigint) AND queued_at > $3::bigint "
#define NO_KEY "AND $4::text IS NOT NULL "
#define CANDIDATE "SELECT n, queued_at, status, runtime_kind, conversation_id FROM runs WHERE "
#define BY_TIME "ORDER BY queued_at DESC, n DESC "
#define BY_NUMBER "ORDER BY n DESC "
// OFFSET 0: one run for each entry of the index, never a join over all of them.
#define OF_THE_ENTRY \
  "CROSS JOIN LATERAL (SELECT status, runtime_kind, conversation_id, queued_at AS at FROM runs "

#define ALL_RUNS CANDIDATE BETWEEN_PLACES NO_KEY BY_TIME
#define OF_CONVERSATION CANDIDATE "conversation_id = $4 AND " BETWEEN_PLACES BY_TIME
#define ACTIVE_RUNS \
  CANDIDATE "status IN ('queued', 'starting', 'running', 'cancelling') AND " BETWEEN_PLACES NO_KEY BY_TIME
#define OF_STATUS CANDIDATE "status = $4 AND " BETWEEN_PLACES BY_TIME
#define OF_RUNTIME CANDIDATE "runtime_kind = $4 AND " BETWEEN_PLACES BY_TIME
// $4 is a JSON array of the tag's name and value.
#define OF_TAG                                                                                            \
  "SELECT g.run AS n, g.queued_at, status, runtime_kind, conversation_id FROM run_tags g " OF_THE_ENTRY   \
  "WHERE runs.n = g.run OFFSET 0) r WHERE g.workspace_id = $5 AND g.name = $4::json ->> 0 AND g.value = " \
  "$4::json ->> 1 "                                                                                       \
  "AND (g.queued_at, g.run) < ($1::bigint, $2::bigint) AND g.queued_at > $3::bigint "                     \
  "ORDER BY g.queued_at DESC, g.run DESC "
#define WITH_WORD                                                                                      \
  "SELECT w.run AS n, r.at AS queued_at, status, runtime_kind, conversation_id FROM run_words "        \
  "w " OF_THE_ENTRY                                                                                    \
  "WHERE runs.n = w.run OFFSET 0) r WHERE w.workspace_id = $5 AND w.word = $4 AND w.run < $2::bigint " \
  "AND $1::bigint IS NOT NULL AND $3::bigint IS NOT NULL ORDER BY w.run DESC "

// $6: how many; $7 to $9: status, runtime, conversation or null; $10: earlier than when or null; $11, $12:
// tags; $13: words. OFFSET 0: one look at an index for each candidate, never a table of all that the
// workspace has.
#define PAGE_OF(driver, order)                                                                               \
  "SELECT c.n, c.queued_at FROM (" driver "LIMIT " MOST_CANDIDATES                                           \
  ") c WHERE ($7::text IS NULL OR c.status = $7 OR ($7 = 'active' AND c.status IN "                          \
  "('queued', 'starting', 'running', 'cancelling'))) AND ($8::text IS NULL OR c.runtime_kind = $8) "         \
  "AND ($9::text IS NULL OR c.conversation_id = $9) AND c.queued_at > $3::bigint "                           \
  "AND ($10::bigint IS NULL OR c.queued_at < $10) "                                                          \
  "AND NOT EXISTS (SELECT 1 FROM unnest($11::text[], $12::text[]) want(name, value) WHERE NOT EXISTS "       \
  "(SELECT 1 FROM run_tags g WHERE g.workspace_id = $5 AND g.name = want.name AND g.value = want.value AND " \
  "g.queued_at = "                                                                                           \
  "c.queued_at "                                                                                             \
  "AND g.run = c.n OFFSET 0)) AND NOT EXISTS (SELECT 1 FROM unnest($13::text[]) wanted(text) WHERE NOT "     \
  "EXISTS "                                                                                                  \
  "(SELECT 1 FROM run_words w WHERE w.workspace_id = $5 AND w.word = wanted.text AND w.run = c.n OFFSET "    \
  "0)) " order "LIMIT $6"

struct Driver {
  Statement page;
  Statement end;  // the last candidate of a call, and the one behind it
};

constexpr Driver all_runs{{"list", PAGE_OF(ALL_RUNS, BY_TIME)}, {"list_end", ALL_RUNS BEHIND_THEM}};
constexpr Driver of_conversation{{"list_conversation", PAGE_OF(OF_CONVERSATION, BY_TIME)},
                                 {"list_conversation_end", OF_CONVERSATION BEHIND_THEM}};
constexpr Driver active_runs{{"list_active", PAGE_OF(ACTIVE_RUNS, BY_TIME)},
                             {"list_active_end", ACTIVE_RUNS BEHIND_THEM}};
constexpr Driver of_status{{"list_status", PAGE_OF(OF_STATUS, BY_TIME)},
                           {"list_status_end", OF_STATUS BEHIND_THEM}};
constexpr Driver of_runtime{{"list_runtime", PAGE_OF(OF_RUNTIME, BY_TIME)},
                            {"list_runtime_end", OF_RUNTIME BEHIND_THEM}};
constexpr Driver of_tag{{"list_tag", PAGE_OF(OF_TAG, BY_TIME)}, {"list_tag_end", OF_TAG BEHIND_THEM}};
constexpr Driver with_word{{"list_word", PAGE_OF(WITH_WORD, BY_NUMBER)},
                           {"list_word_end", WITH_WORD BEHIND_THEM}};

struct Choice {
  const Driver& driver;
  std::string key = {};
};

Choice choose(const RunQuery& query, const std::vector<std::string>& words) {
  if (!words.empty()) return {with_word, words.front()};
  if (query.conversation) return {of_conversation, query.conversation->str()};
  if (!query.tags.empty()) {
    const auto& [name, value] = query.tags.front();
    return {of_tag, base::to_text(json::value(json::array{to_stored(name), to_stored(value)}))};
  }
  if (query.status && *query.status == "active") return {active_runs};
  if (query.status) return {of_status, *query.status};
  if (query.runtime) return {of_runtime, std::string(to_string(*query.runtime))};
  return {all_runs};
}

// The first place that does not belong to the page any more.
RunCursor upper_bound(const RunQuery& query) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  RunCursor bound = query.after.value_or(RunCursor{most, most});
  if (query.created_before && query.text.empty())
    bound = std::min(bound, RunCursor{query.created_before->time_since_epoch().count(), 0});
  return bound;
}

Parameters place_parameters(const std::string& workspace, const RunQuery& query, const std::string& key) {
  const auto bound = upper_bound(query);
  const auto earliest = query.created_after ? query.created_after->time_since_epoch().count()
                                            : std::numeric_limits<std::int64_t>::min();
  return values(bound.queued_at, bound.number, std::int64_t{earliest}, key, workspace);
}

Parameters page_parameters(const std::string& workspace, const RunQuery& query,
                           const std::vector<std::string>& words, const std::string& key) {
  auto parameters = place_parameters(workspace, query, key);
  std::vector<std::string> names;
  std::vector<std::string> tags;
  for (const auto& [name, value] : query.tags) {
    names.push_back(to_stored(name));
    tags.push_back(to_stored(value));
  }
  add_value(parameters, query.limit + 1);
  add_value(parameters, query.status);
  add_value(parameters, query.runtime ? std::optional(std::string(to_string(*query.runtime))) : std::nullopt);
  add_value(parameters, query.conversation);
  add_value(parameters, query.created_before);
  add_value(parameters, names);
  add_value(parameters, tags);
  add_value(parameters, words);
  return parameters;
}

RunCursor read_place(const Cells& row) {
  return {row.integer(1), row.integer(0)};
}

}  // namespace

RunPage Tables::runs(const std::string& scope, const RunQuery& query) {
  const auto& workspace = scope.empty() ? query.workspace : scope;
  RunPage page;
  const auto words = words_to_find(query.text);
  if (!query.text.empty() && words.empty()) return page;
  const auto [driver, key] = choose(query, words);
  auto places = all(ask_with(driver.page, page_parameters(workspace, query, words, key)), read_place);
  const auto limit = static_cast<std::size_t>(query.limit);
  const bool is_full = places.size() > limit;
  if (is_full) {
    places.resize(limit);
    if (limit > 0) page.next = places.back();
  }
  page.items = runs_at(places);
  if (is_full) return page;
  const auto end = all(ask_with(driver.end, place_parameters(workspace, query, key)), read_place);
  if (end.size() == 2) page.next = end.front();
  return page;
}

std::vector<model::Run> Tables::runs_at(const std::vector<RunCursor>& places) {
  static constexpr Statement find{"runs_at", PG_RUN_COLUMNS "WHERE r.n = ANY ($1::bigint[])"};
  if (places.empty()) return {};
  std::vector<std::int64_t> numbers;
  for (const auto& place : places) numbers.push_back(place.number);
  std::unordered_map<std::int64_t, model::Run> found;
  const auto rows = ask(find, numbers);
  for (const auto row : rows) found.emplace(row.integer(28), read_run(Cells(row)));
  std::vector<model::Run> runs;
  for (const auto number : numbers) {
    const auto run = found.find(number);
    if (run == found.end())
      base::throw_failure(base::Code::corrupt, "a listed run is missing", "store_corrupt");
    runs.push_back(std::move(run->second));
  }
  return runs;
}

}  // namespace agentrouter::store::postgres
