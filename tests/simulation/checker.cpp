#include "checker.h"

#include <algorithm>

#include "store/sqlite/checked_vfs.h"

namespace agentrouter::simulation {

namespace {

std::string text(sqlite3_stmt* statement, int column) {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
  return bytes == nullptr ? std::string() : std::string(bytes);
}

bool is_end(std::string_view type) {
  return type == "run.completed" || type == "run.failed" || type == "run.cancelled";
}

// What tells an event of a journal from all others.
std::string word_of(std::string_view event) {
  auto word = field_of(event, "nonce");
  return word.empty() ? field_of(event, "eventId") : word;
}

struct Row {
  std::int64_t number, events, attempts;
  std::string id, status;
};

}  // namespace

std::string field_of(std::string_view json, std::string_view name) {
  const auto label = "\"" + std::string(name) + "\":\"";
  const auto at = json.find(label);
  if (at == std::string_view::npos) return {};
  const auto from = at + label.size();
  return std::string(json.substr(from, json.find('"', from) - from));
}

// The last connection is left as it is: closing it would write.
Checker::~Checker() = default;

void Checker::fail(std::string what) {
  loop_.note("VIOLATION " + what);
  if (!violation_) violation_ = std::move(what);
}

void Checker::open(const std::string& path) {
  statements_.clear();
  db_ = nullptr;
  const auto vfs = store::checked_vfs(Disk::vfs_name);
  if (sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs.c_str()) != SQLITE_OK)
    fail("the database cannot be opened");
}

void Checker::reorder_events() {
  const char* const trigger =
      "CREATE TRIGGER IF NOT EXISTS reordered AFTER INSERT ON events WHEN NEW.key % 7 = 3 BEGIN "
      "UPDATE events SET key = -1 WHERE key = NEW.key; "
      "UPDATE events SET key = NEW.key WHERE key = NEW.key - 1; "
      "UPDATE events SET key = NEW.key - 1 WHERE key = -1; END";
  if (sqlite3_exec(db_, trigger, nullptr, nullptr, nullptr) != SQLITE_OK) fail("the mutation does not work");
}

sqlite3_stmt* Checker::prepare(const char* sql) {
  auto& statement = statements_[sql];
  if (statement == nullptr && sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK)
    fail(std::string("the database cannot be read: ") + sqlite3_errmsg(db_));
  sqlite3_reset(statement);
  return statement;
}

void Checker::committed() {
  read_runs();
  read_approvals();
}

void Checker::read_runs() {
  std::vector<Row> rows;
  auto* const statement = prepare("SELECT n, id, status, last_event_seq, attempts FROM runs ORDER BY n");
  while (sqlite3_step(statement) == SQLITE_ROW) {
    rows.push_back({sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 3),
                    sqlite3_column_int64(statement, 4), text(statement, 1), text(statement, 2)});
  }
  sqlite3_reset(statement);
  std::set<std::string> there;
  for (const auto& row : rows) {
    there.insert(row.id);
    auto& run = runs_[row.number];
    if (!run.id.empty() && run.id != row.id) fail("row " + std::to_string(row.number) + " is another run: one was lost");
    run.id = row.id;
    if (row.events < run.events) fail("events of " + row.id + " are gone");
    if (row.attempts < run.attempts) fail("an attempt of " + row.id + " is gone");
    run.attempts = row.attempts;
    if (row.events > run.events) read_events(row.number, run, row.events);
    run.status = row.status;
    const bool ended = row.status == "completed" || row.status == "failed" || row.status == "cancelled";
    if (ended != run.ended) fail(row.id + " is " + row.status + ", but its terminal event says something else");
  }
  for (const auto& run : known_) {
    if (!there.contains(run) && !deletions_.contains(run)) fail("a run that a client was told of is gone: " + run);
  }
}

void Checker::read_events(std::int64_t number, RunState& run, std::int64_t last) {
  auto* const statement = prepare("SELECT key, type, payload FROM events WHERE key > ? AND key <= ? ORDER BY key");
  const auto base = number << 32;
  sqlite3_bind_int64(statement, 1, base | run.events);
  sqlite3_bind_int64(statement, 2, base | 0xffffffff);
  while (sqlite3_step(statement) == SQLITE_ROW) {
    const auto sequence = sqlite3_column_int64(statement, 0) - base;
    const auto type = text(statement, 1);
    if (sequence != run.events + 1)
      fail("after event " + std::to_string(run.events) + " of " + run.id + " comes " + std::to_string(sequence));
    if (run.ended) fail("event " + std::to_string(sequence) + " of " + run.id + " (" + type + ") follows the terminal event");
    run.events = sequence;
    run.newest = loop_.now();
    ++events_;
    if (is_end(type)) run.ended = true;
    if (const auto word = word_of(text(statement, 2)); !word.empty()) place(run, word, sequence);
  }
  sqlite3_reset(statement);
  if (run.events != last)
    fail(run.id + " says that it has " + std::to_string(last) + " events, and has " + std::to_string(run.events));
}

void Checker::journal_made(const std::string& run, const std::string& attempt) {
  attempts_[attempt].run = run;
}

void Checker::read_journal(const std::string& attempt, AttemptTruth& truth) {
  const auto found = journals_.all().find(attempt);
  if (found == journals_.all().end() || truth.cut) return;
  const auto& bytes = found->second.written;
  for (;;) {
    const auto end = bytes.find('\n', truth.parsed);
    if (end == std::string::npos) return;
    const std::string_view line = std::string_view(bytes).substr(truth.parsed, end - truth.parsed);
    truth.parsed = end + 1;
    const auto kind = field_of(line, "kind");
    if (kind == "exit") truth.exited = true;
    if (kind != "event") continue;
    const auto word = word_of(line);
    truth.ends.push_back(truth.parsed);
    const int number = static_cast<int>(truth.ends.size());
    if (word.empty()) {
      fail("an event of a journal has no word of its own: " + std::string(line.substr(0, 200)));
      return;
    }
    words_.emplace(word, std::pair(attempt, number));
  }
}

void Checker::place(const RunState& run, const std::string& word, std::int64_t sequence) {
  auto found = words_.find(word);
  if (found == words_.end()) {
    for (auto& [attempt, truth] : attempts_) {
      if (truth.run == run.id) read_journal(attempt, truth);
    }
    found = words_.find(word);
  }
  if (found == words_.end()) return;  // an event of the server's own
  const auto& [attempt, number] = found->second;
  auto& truth = attempts_.at(attempt);
  const auto where = "event " + std::to_string(sequence) + " of " + run.id;
  if (truth.run != run.id) fail(where + " is of another run's journal");
  if (number <= truth.stored) fail(where + " is record " + std::to_string(number) + " of its journal once more");
  if (number > truth.stored + 1) fail(where + " is record " + std::to_string(number) + " of its journal after " + std::to_string(truth.stored));
  truth.stored = number;
}

void Checker::power_will_be_lost() {
  for (auto& [attempt, truth] : attempts_) {
    read_journal(attempt, truth);
    if (!truth.cut) truth.cut = journals_.all().at(attempt).durable;
  }
}

void Checker::read_approvals() {
  auto* const statement = prepare("SELECT action_id, state, action_digest, delivered FROM approvals");
  while (sqlite3_step(statement) == SQLITE_ROW) {
    const auto action = text(statement, 0);
    const auto state = text(statement, 1);
    auto& before = states_[action];
    if (before == state) continue;
    if (!before.empty() && before != "pending" && before != "void")
      fail("approval of " + action + " was " + before + " and is " + state);
    before = state;
    const auto& decision = decisions_[action];
    if (state == "approved" && (!decision.approve_sent || decision.digest != text(statement, 2)))
      fail("nobody approved " + action + ", and it is approved");
    if (state == "denied" && !decision.deny_sent) fail("nobody denied " + action + ", and it is denied");
  }
  sqlite3_reset(statement);
}

void Checker::ran(const std::string& run, const std::string& attempt, const std::string& action,
                  const std::string& digest, bool launch, bool needs_approval) {
  loop_.note("ran " + action);
  if (launch) {
    const auto [first, added] = launches_.emplace(run, attempt);
    if (!added) fail("the agent of " + run + " was started by " + attempt + " and before by " + first->second);
  }
  if (!actions_run_.insert(action).second) fail(action + " ran twice");
  if (!needs_approval) return;
  const auto& decision = decisions_[action];
  if (!decision.approve_sent) fail(action + " ran, and nobody has approved it");
  if (!digest.empty() && decision.digest != digest) fail(action + " ran, and another digest was approved");
  if (decision.answered && !*decision.answered) fail(action + " ran after its denial was acknowledged");
}

void Checker::sent_decision(const std::string& action, const std::string& digest, bool approves) {
  auto& decision = decisions_[action];
  decision.digest = digest;
  (approves ? decision.approve_sent : decision.deny_sent) = true;
}

void Checker::got_decision(const std::string& action, bool approves) {
  auto& decision = decisions_[action];
  if (decision.answered && *decision.answered != approves) fail("both decisions about " + action + " were accepted");
  decision.answered = approves;
}

void Checker::got_run(const std::string& key, const std::string& run) {
  const auto [earlier, added] = keys_.emplace(key, run);
  if (!added && earlier->second != run) fail("one key has made two runs: " + earlier->second + " and " + run);
  known_.insert(run);
}

void Checker::got_event(const std::string& run, std::int64_t cursor, std::int64_t sequence) {
  if (sequence != cursor + 1)
    fail("a subscriber of " + run + " at " + std::to_string(cursor) + " got event " + std::to_string(sequence));
}

void Checker::got_end(const std::string& run, std::int64_t cursor) {
  for (const auto& [number, state] : runs_) {
    if (state.id != run || deletions_.contains(run)) continue;
    if (!state.ended || state.events != cursor)
      fail("a subscriber of " + run + " was told of the end at " + std::to_string(cursor) + " of " + std::to_string(state.events));
  }
}

void Checker::got_nothing(const std::string& run, std::int64_t cursor) {
  for (const auto& [number, state] : runs_) {
    const bool long_ago = state.newest + std::chrono::seconds(5) < loop_.now();
    if (state.id == run && state.events > cursor && long_ago && !deletions_.contains(run))
      fail("a subscriber of " + run + " at " + std::to_string(cursor) + " was not told of event " + std::to_string(state.events));
  }
}

bool Checker::has_ended(const std::string& run) const {
  for (const auto& [number, state] : runs_) {
    if (state.id == run) return state.ended;
  }
  return false;
}

std::size_t Checker::unfinished() const {
  std::size_t count = 0;
  for (const auto& [number, run] : runs_) count += run.ended ? 0 : 1;
  return count;
}

std::string Checker::describe_unfinished() const {
  std::string all;
  for (const auto& [number, run] : runs_) {
    if (!run.ended) all += " " + run.id + " (" + run.status + ", " + std::to_string(run.events) + " events)";
  }
  return all;
}

std::string Checker::describe_attempts() {
  std::string all;
  auto* const statement = prepare(
      "SELECT run_id, number, worker_id, token, journal_offset, closing, host, lease_until FROM attempts "
      "WHERE open = 1");
  while (sqlite3_step(statement) == SQLITE_ROW) {
    all += " " + text(statement, 0);
    for (int column = 1; column < 8; ++column) all += " " + text(statement, column);
    all += ";";
  }
  sqlite3_reset(statement);
  return all;
}

std::int64_t Checker::open_attempts() {
  auto* const statement = prepare("SELECT count(*) FROM attempts WHERE open = 1");
  const auto count = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
  sqlite3_reset(statement);
  return count;
}

void Checker::at_the_end() {
  committed();
  for (auto& [attempt, truth] : attempts_) {
    read_journal(attempt, truth);
    const auto end = truth.cut ? std::upper_bound(truth.ends.begin(), truth.ends.end(), *truth.cut) : truth.ends.end();
    const auto records = static_cast<int>(end - truth.ends.begin());
    if (truth.stored < records)
      fail("of " + std::to_string(records) + " events in the journal of " + attempt + " the store has " + std::to_string(truth.stored));
  }
  for (const auto& [action, decision] : decisions_) {
    if (!decision.answered) continue;
    const auto state = states_.find(action);
    const std::string wanted = *decision.answered ? "approved" : "denied";
    if (state == states_.end() || state->second != wanted) fail("an acknowledged decision about " + action + " is gone");
  }
  if (open_attempts() != 0) fail("an attempt is open for ever");
  auto* const check = prepare("PRAGMA integrity_check");
  if (sqlite3_step(check) != SQLITE_ROW || text(check, 0) != "ok") fail("the database is damaged: " + text(check, 0));
  sqlite3_reset(check);
}

}  // namespace agentrouter::simulation
