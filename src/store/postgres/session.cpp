#include "store/postgres/session.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "store/postgres/failure.h"

namespace agentrouter::store::postgres {

namespace {

// After the server's own timeout it has this long to say so.
constexpr std::chrono::seconds answer_slack{10};

const Statement begin_write{"begin_write", "BEGIN ISOLATION LEVEL READ COMMITTED"};
const Statement begin_read{"begin_read", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"};
// For this transaction only: behind a pooler the next one has another connection. Plans do not depend on what
// the server believes of the tables' sizes, which is wrong while they grow: each statement has an index, and
// one plan that uses it.
const Statement limit_transaction{
    "limit_transaction",
    "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true), "
    "set_config('idle_in_transaction_session_timeout', $3, true), set_config('enable_seqscan', 'off', true), "
    "set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', "
    "true), "
    "set_config('jit', 'off', true)"};
const Statement commit_all{"commit_all", "COMMIT"};
const Statement undo_all{"undo_all", "ROLLBACK"};
const Statement begin_one{"begin_one", "SAVEPOINT one"};
const Statement release_one{"release_one", "RELEASE SAVEPOINT one"};
const Statement undo_one{"undo_one", "ROLLBACK TO SAVEPOINT one"};

std::string server_text(const pg_result* result) {
  const char* primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char* detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
  std::string text = primary != nullptr ? primary : PQresultErrorMessage(result);
  if (detail != nullptr) text.append(": ").append(detail);
  return text;
}

// libpq's view of Parameters.
struct Bound {
  explicit Bound(const Parameters& parameters) {
    for (const auto& value : parameters.values()) {
      values.push_back(value.null ? nullptr : value.bytes.c_str());
      lengths.push_back(static_cast<int>(value.bytes.size()));
      formats.push_back(value.binary ? 1 : 0);
    }
  }
  [[nodiscard]] int count() const { return static_cast<int>(values.size()); }

  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

std::string milliseconds_text(std::chrono::milliseconds time) {
  return std::to_string(time.count());
}

}  // namespace

Session::Session(SessionOptions options) : options_(std::move(options)) {}

Session::~Session() {
  disconnect();
}

void Session::connect() {
  disconnect();
  outcome_unknown_ = false;
  const auto patience =
      std::to_string(std::max<std::int64_t>(2, (options_.connect_timeout.count() + 999) / 1000));
  // What stands before the URL (dbname) holds only where the URL says nothing itself.
  const std::array<std::pair<const char*, const char*>, 8> parameters{
      {{"connect_timeout", patience.c_str()},
       {"tcp_user_timeout", "15000"},
       {"keepalives_idle", "10"},
       {"keepalives_interval", "5"},
       {"keepalives_count", "3"},
       {"dbname", options_.url.c_str()},
       {"application_name", options_.application.c_str()},
       {"client_encoding", "UTF8"}}};
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : parameters) {
    keywords.push_back(keyword);
    values.push_back(value);
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  connection_ = PQconnectdbParams(keywords.data(), values.data(), 1);
  if (connection_ == nullptr)
    base::throw_failure(base::Code::exhausted, "cannot connect to the database: no memory");
  if (PQstatus(connection_) != CONNECTION_OK) {
    std::string cause = without_password(PQerrorMessage(connection_), options_.url);
    const bool no_entry =
        PQconnectionNeedsPassword(connection_) != 0 || PQconnectionUsedPassword(connection_) != 0;
    const bool refused = no_entry && cause.find("authentication failed") != std::string::npos;
    disconnect();
    base::throw_failure(refused ? base::Code::denied : base::Code::unavailable,
                        "cannot connect to the database: " + cause, "storage_failed");
  }
  PQsetNoticeProcessor(connection_, [](void*, const char*) {}, nullptr);
  PQsetnonblocking(connection_, 1);
  enter_pipeline();
}

void Session::enter_pipeline() {
  if (PQenterPipelineMode(connection_) != 1) lost("it cannot take a pipeline of statements");
}

void Session::disconnect() noexcept {
  if (connection_ != nullptr) PQfinish(connection_);
  connection_ = nullptr;
  pending_.clear();
  prepared_.clear();
  preparing_.clear();
  refused_.reset();
  in_transaction_ = false;
}

bool Session::is_alive() {
  if (connected() && (PQconsumeInput(connection_) != 1 || PQstatus(connection_) == CONNECTION_BAD))
    disconnect();
  return connected();
}

void Session::begin(Access access) {
  outcome_unknown_ = false;
  send(access == Access::write ? begin_write : begin_read);
  in_transaction_ = true;
  send(limit_transaction, milliseconds_text(options_.statement_timeout),
       milliseconds_text(options_.lock_timeout), milliseconds_text(options_.idle_timeout));
}

void Session::commit() {
  (void)commit_after(std::nullopt, {});
}

Rows Session::commit(const Statement& last, const Parameters& parameters) {
  return commit_after(last, parameters);
}

Rows Session::commit_after(const std::optional<Statement>& last, const Parameters& parameters) {
  require_connection();
  if (last) post_statement(*last, parameters, true);
  committed_ = false;
  outcome_unknown_ = true;
  post_statement(commit_all, {}, false);
  pending_.back().commits = true;
  try {
    auto rows = finish();
    outcome_unknown_ = false;
    in_transaction_ = false;
    if (!committed_)
      base::throw_failure(base::Code::unavailable,
                          "cannot write to the database: it has undone the transaction", "storage_failed");
    return rows;
  } catch (const Refused&) {
    // With its connection gone nobody knows how far it came.
    if (connected()) outcome_unknown_ = committed_;
    throw;
  }
}

void Session::rollback() noexcept {
  if (!connected() || !in_transaction_) return;
  try {
    if (!pending_.empty()) sync();
  } catch (const base::Failure&) {
    // What was open is undone now.
  }
  try {
    if (connected()) (void)query(undo_all);
    in_transaction_ = false;
  } catch (const base::Failure&) {
    disconnect();
  }
}

void Session::savepoint() {
  send(begin_one);
}

void Session::release() {
  send(release_one);
}

void Session::rollback_to() {
  send(undo_one);
}

Rows Session::query(const Statement& statement, const Parameters& parameters) {
  post_statement(statement, parameters, true);
  return finish();
}

Rows Session::query_text(const std::string& sql, const Parameters& parameters) {
  post_text(sql, parameters, true);
  return finish();
}

void Session::send(const Statement& statement, const Parameters& parameters) {
  post_statement(statement, parameters, false);
}

void Session::send_text(const std::string& sql, const Parameters& parameters) {
  post_text(sql, parameters, false);
}

void Session::sync() {
  require_connection();
  if (!pending_.empty()) (void)finish();
}

void Session::require_connection() const {
  if (connection_ == nullptr)
    base::throw_failure(base::Code::unavailable, "cannot use the database: there is no connection",
                        "storage_failed");
}

void Session::post_statement(const Statement& statement, const Parameters& parameters, bool wanted) {
  if (!options_.prepared) return post_text(std::string(statement.sql), parameters, wanted);
  require_connection();
  const std::string name(statement.name);
  if (!prepared_.contains(statement.name) && preparing_.insert(statement.name).second) {
    posted(PQsendPrepare(connection_, name.c_str(), std::string(statement.sql).c_str(), 0, nullptr),
           {.prepares = statement.name});
  }
  const Bound bound(parameters);
  posted(PQsendQueryPrepared(connection_, name.c_str(), bound.count(), bound.values.data(),
                             bound.lengths.data(), bound.formats.data(), 0),
         {.wanted = wanted});
}

void Session::post_text(const std::string& sql, const Parameters& parameters, bool wanted) {
  require_connection();
  const Bound bound(parameters);
  posted(PQsendQueryParams(connection_, sql.c_str(), bound.count(), nullptr, bound.values.data(),
                           bound.lengths.data(), bound.formats.data(), 0),
         {.wanted = wanted});
}

void Session::posted(int accepted, Pending pending) {
  if (accepted != 1) lost(PQerrorMessage(connection_));
  pending_.push_back(pending);
}

// Everything that was posted is answered, and what went wrong first is thrown.
Rows Session::finish() {
  if (PQpipelineSync(connection_) != 1) lost(PQerrorMessage(connection_));
  Rows rows(nullptr);
  while (!pending_.empty()) {
    take_answer(pending_.front(), rows);
    pending_.pop_front();
  }
  const Rows synced(next_result());
  if (!synced.is_sync()) lost("the server answers out of order");
  preparing_.clear();
  if (refused_) {
    const Refused refused = *std::exchange(refused_, std::nullopt);
    if (PQstatus(connection_) == CONNECTION_BAD || is_read_only(refused.sqlstate())) disconnect();
    throw refused;
  }
  return rows;
}

void Session::take_answer(const Pending& pending, Rows& answer) {
  while (pg_result* result = next_result()) {
    Rows owner(result);
    const auto status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) lost("the server answers out of order");
    if (status == PGRES_FATAL_ERROR) note_refusal(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) continue;
    if (!pending.prepares.empty()) prepared_.insert(pending.prepares);
    if (pending.commits) committed_ = owner.command() == "COMMIT";
    if (pending.wanted) answer = std::move(owner);
  }
}

void Session::note_refusal(const pg_result* result) {
  if (refused_) return;
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string sqlstate = state != nullptr ? state : "";
  refused_.emplace(postgres_error(sqlstate, without_password(server_text(result), options_.url)), sqlstate);
}

// Null: that was all of one statement.
pg_result* Session::next_result() {
  deadline_ = options_.statement_timeout.count() > 0
                  ? base::SteadyClock::now() + options_.statement_timeout + answer_slack
                  : base::SteadyClock::time_point::max();
  flush_some();
  while (PQisBusy(connection_) != 0) {
    wait_for_server(PQflush(connection_) == 1 ? POLLIN | POLLOUT : POLLIN);
    if (PQconsumeInput(connection_) != 1) lost(PQerrorMessage(connection_));
  }
  pg_result* result = PQgetResult(connection_);
  if (result == nullptr && PQstatus(connection_) == CONNECTION_BAD) lost(PQerrorMessage(connection_));
  return result;
}

// Reads what comes meanwhile: a server that cannot get rid of its answers takes nothing more.
void Session::flush_some() {
  for (;;) {
    const int left = PQflush(connection_);
    if (left < 0) lost(PQerrorMessage(connection_));
    if (left == 0) return;
    wait_for_server(POLLIN | POLLOUT);
    if (PQconsumeInput(connection_) != 1) lost(PQerrorMessage(connection_));
  }
}

void Session::wait_for_server(short events) {
  for (;;) {
    const auto left =
        deadline_ == base::SteadyClock::time_point::max()
            ? std::chrono::milliseconds(-1)
            : std::chrono::ceil<std::chrono::milliseconds>(deadline_ - base::SteadyClock::now());
    if (left.count() == 0 || left.count() < -1) lost("the server does not answer");
    pollfd socket{PQsocket(connection_), events, 0};
    const int ready = ::poll(&socket, 1, static_cast<int>(left.count()));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) lost("the connection cannot be waited for");
  }
}

void Session::lost(std::string cause) {
  cause = without_password(std::move(cause), options_.url);
  if (refused_) cause = refused_->error().message + "; " + cause;
  disconnect();
  base::throw_failure(base::Code::unavailable, "the connection to the database is lost: " + cause,
                      "storage_failed");
}

void Session::execute(const std::string& script) {
  sync();
  if (PQexitPipelineMode(connection_) != 1) lost(PQerrorMessage(connection_));
  if (PQsendQuery(connection_, script.c_str()) != 1) lost(PQerrorMessage(connection_));
  while (pg_result* result = next_result()) {
    const Rows owner(result);
    if (PQresultStatus(result) == PGRES_FATAL_ERROR) note_refusal(result);
  }
  enter_pipeline();
  if (!refused_) return;
  throw *std::exchange(refused_, std::nullopt);
}

std::vector<Session::Notice> Session::wait_notices(base::SteadyClock::time_point deadline,
                                                   const base::Fd& wake) {
  require_connection();
  std::vector<Notice> notices;
  for (;;) {
    if (PQconsumeInput(connection_) != 1) lost(PQerrorMessage(connection_));
    while (PGnotify* notice = PQnotifies(connection_)) {
      notices.push_back({notice->relname, notice->extra});
      PQfreemem(notice);
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - base::SteadyClock::now());
    if (!notices.empty() || left.count() <= 0) return notices;
    std::array<pollfd, 2> sources{{{PQsocket(connection_), POLLIN, 0}, {wake.get(), POLLIN, 0}}};
    const int ready = ::poll(sources.data(), sources.size(),
                             static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
    if (ready < 0 && errno != EINTR) lost("the connection cannot be waited for");
    if (ready > 0 && sources[1].revents != 0) return notices;
  }
}

}  // namespace agentrouter::store::postgres
