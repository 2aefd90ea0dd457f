#pragma once
// One connection to PostgreSQL, used by one thread at a time; each call blocks, and none for longer than its
// deadline. Statements go into a pipeline: what needs no answer (`send`) costs no round trip, and what it was
// refused for comes to light at the next `query` or `sync`.

#include <chrono>
#include <deque>
#include <string>
#include <unordered_set>

#include "base/fd.h"
#include "base/steady_clock.h"
#include "store/postgres/statement.h"

struct pg_conn;  // libpq's PGconn

namespace agentrouter::store::postgres {

struct SessionOptions {
  std::string url;  // postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full...: libpq's, with its files
  std::string application;  // application_name, as pg_stat_activity shows it
  // Statements are prepared, once in each session. Not behind a pooler that gives each transaction another
  // connection (PgBouncer in transaction mode): then each is parsed anew.
  bool prepared = true;
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds statement_timeout{30000};  // the server's, of one statement
  std::chrono::milliseconds lock_timeout{
      20000};  // the server's, of one wait for a lock: of the writer's turn, too
  // The server's: who has the writer's turn and says nothing for that long has lost it.
  std::chrono::milliseconds idle_timeout{10000};
};

// What the server refused, with its SQLSTATE. docs/errors.md has the codes; see failure.h.
class Refused : public base::Failure {
 public:
  Refused(base::Error error, std::string sqlstate)
      : base::Failure(std::move(error)), sqlstate_(std::move(sqlstate)) {}
  [[nodiscard]] const std::string& sqlstate() const { return sqlstate_; }

 private:
  std::string sqlstate_;
};

class Session {
 public:
  enum class Access { read, write };
  struct Notice {
    std::string channel;
    std::string text;
  };

  // Connects with the first connect() only.
  explicit Session(SessionOptions options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Connects anew, whatever was before. Throws Failure: unavailable (storage_failed), denied (storage_failed:
  // the server does not let us in), invalid (store_url_invalid). No message has the password.
  void connect();
  [[nodiscard]] bool connected() const { return connection_ != nullptr; }
  void disconnect() noexcept;
  // As far as is known here: false when the server has closed the connection since it was used last. No round
  // trip.
  [[nodiscard]] bool is_alive();

  // READ COMMITTED to write; REPEATABLE READ READ ONLY to read. Costs no round trip.
  void begin(Access access);
  // Waits for the commit to be durable. When this throws and outcome_unknown() holds, it may have happened.
  void commit();
  // In one round trip with what stands before the commit, and its rows.
  Rows commit(const Statement& last, const Parameters& parameters);
  // Undoes whatever is open. Never throws: where that fails the connection is given up, which undoes it as
  // well.
  void rollback() noexcept;
  [[nodiscard]] bool outcome_unknown() const { return outcome_unknown_; }

  // One level is enough for the store. After a statement was refused, rollback_to() makes the transaction
  // usable again.
  void savepoint();
  void release();
  void rollback_to();

  // Waits for the answer. Throws what an earlier send() was refused for, or else what this was: Refused, or
  // Failure(unavailable, storage_failed) when the connection is lost (connected() is then false).
  template <class... Values>
  Rows query(const Statement& statement, const Values&... values) {
    return query(statement, Parameters::of(values...));
  }
  Rows query(const Statement& statement, const Parameters& parameters);
  // SQL that is made at run time from the program's own pieces (values are parameters): never prepared.
  Rows query_text(const std::string& sql, const Parameters& parameters = {});

  // Does not wait. Throws only when the connection is lost.
  template <class... Values>
  void send(const Statement& statement, const Values&... values) {
    send(statement, Parameters::of(values...));
  }
  void send(const Statement& statement, const Parameters& parameters);
  void send_text(const std::string& sql, const Parameters& parameters = {});
  // Waits for all that was sent. Throws as query().
  void sync();

  // Several statements without parameters, as a script of the schema has them; outside of begin() they are
  // one transaction. Waits.
  void execute(const std::string& script);

  // What other sessions have notified since; waits for the first until the deadline, or until `wake` is
  // readable. Throws when the connection is lost.
  [[nodiscard]] std::vector<Notice> wait_notices(base::SteadyClock::time_point deadline,
                                                 const base::Fd& wake);

  [[nodiscard]] const SessionOptions& options() const { return options_; }

 private:
  struct Pending {
    std::string_view prepares;  // the name of the statement that it prepares, or empty
    bool wanted = false;        // query() waits for its rows
    bool commits = false;
  };

  void require_connection() const;
  void enter_pipeline();
  void post_statement(const Statement& statement, const Parameters& parameters, bool wanted);
  void post_text(const std::string& sql, const Parameters& parameters, bool wanted);
  void posted(int accepted, Pending pending);
  Rows commit_after(const std::optional<Statement>& last, const Parameters& parameters);
  Rows finish();
  void take_answer(const Pending& pending, Rows& answer);
  void note_refusal(const pg_result* result);
  pg_result* next_result();
  void flush_some();
  void wait_for_server(short events);
  [[noreturn]] void lost(std::string cause);

  SessionOptions options_;
  pg_conn* connection_ = nullptr;
  std::deque<Pending> pending_;  // what the server has yet to answer, in its order
  std::unordered_set<std::string_view> prepared_;
  std::unordered_set<std::string_view> preparing_;  // asked for since the last sync
  std::optional<Refused> refused_;                  // the first of those since the last sync
  base::SteadyClock::time_point deadline_;          // of the next answer
  bool in_transaction_ = false;
  bool committed_ = false;  // the last commit was answered
  bool outcome_unknown_ = false;
};

}  // namespace agentrouter::store::postgres
