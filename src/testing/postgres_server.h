#pragma once
// A real PostgreSQL server for tests: a cluster of its own in a temporary folder, on a unix socket there and
// nowhere else, as a plain user (who is root starts it as nobody). It ends with this process, however that
// ends.

#include <sys/types.h>

#include <string>
#include <vector>

#include "testing/temp_dir.h"

namespace agentrouter::testing {

class PostgresServer {
 public:
  enum class Stop { fast, immediate };  // as pg_ctl's: immediate is a crash

  // Makes the cluster and starts it. `settings` are lines of postgresql.conf: "wal_level=logical". Throws
  // Failure.
  explicit PostgresServer(std::vector<std::string> settings = {});
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // The one of this process for tests that do it no harm; started when it is asked for first. It syncs nothing: what is
  // durable is tested with servers that do.
  [[nodiscard]] static PostgresServer& shared();

  // A new, empty database: its name.
  [[nodiscard]] std::string make_database();
  // postgres://..., with more parameters of libpq: "target_session_attrs=read-write".
  [[nodiscard]] std::string url(const std::string& database, const std::string& parameters = {}) const;
  // The folder of the socket, and its name there.
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }
  static constexpr const char* socket_name = ".s.PGSQL.5432";

  // Waits until it is over.
  void stop(Stop how);
  // Waits until it answers.
  void start();
  // Statements as its superuser, in this database.
  void execute(const std::string& database, const std::string& script);
  // What it has logged.
  [[nodiscard]] std::string log() const;

 private:
  pid_t run(const std::string& program, const std::vector<std::string>& arguments) const;
  void give_to_plain_user() const;

  TempDir folder_;
  std::vector<std::string> settings_;
  pid_t postmaster_ = -1;
  int databases_ = 0;
};

}  // namespace agentrouter::testing
