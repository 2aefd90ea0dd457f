#include "testing/postgres_server.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "store/postgres/session.h"
#include "store/postgres/waker.h"

namespace agentrouter::testing {

namespace {

constexpr const char* programs = "/usr/lib/postgresql/15/bin/";
constexpr const char* superuser = "tester";
constexpr std::chrono::seconds start_patience{60};

// Null for who is a plain user already.
const passwd* plain_user() {
  return ::geteuid() == 0 ? ::getpwnam("nobody") : nullptr;
}

int exit_code_of(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

store::postgres::SessionOptions as_superuser(const std::string& url) {
  store::postgres::SessionOptions options;
  options.url = url;
  options.application = "test";
  options.prepared = false;
  options.statement_timeout = {};
  return options;
}

}  // namespace

PostgresServer::PostgresServer(std::vector<std::string> settings) : settings_(std::move(settings)) {
  give_to_plain_user();
  const auto cluster = (folder_ / "cluster").string();
  const auto made =
      run("initdb", {"-D", cluster, "-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"});
  if (exit_code_of(made) != 0)
    base::throw_failure(base::Code::unavailable, "cannot make a PostgreSQL cluster: " + log());
  start();
}

PostgresServer::~PostgresServer() {
  stop(Stop::immediate);
}

PostgresServer& PostgresServer::shared() {
  static PostgresServer server({"fsync=off", "full_page_writes=off", "autovacuum=off"});
  return server;
}

void PostgresServer::give_to_plain_user() const {
  const auto* user = plain_user();
  if (user != nullptr && ::chown(folder_.path().c_str(), user->pw_uid, user->pw_gid) != 0)
    base::throw_errno("cannot give away " + folder_.path().string(), errno);
}

// What it says goes to the log.
pid_t PostgresServer::run(const std::string& program, const std::vector<std::string>& arguments) const {
  const std::string path = programs + program;
  const auto log_path = (folder_ / "log").string();
  std::vector<const char*> argv{path.c_str()};
  for (const auto& argument : arguments) argv.push_back(argument.c_str());
  argv.push_back(nullptr);
  const auto* user = plain_user();
  const pid_t child = ::fork();
  if (child < 0) base::throw_errno("cannot start " + path, errno);
  if (child > 0) return child;
  if (user != nullptr &&
      (::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0))
    ::_exit(120);
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
  const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  // Nothing of the test is kept open by it.
  ::close_range(3, ~0u, 0);
  ::setpgid(0, 0);
  if (::chdir("/") != 0) ::_exit(121);
  ::execv(path.c_str(), const_cast<char* const*>(argv.data()));
  ::_exit(122);
}

void PostgresServer::start() {
  std::vector<std::string> arguments{
      "-D", (folder_ / "cluster").string(), "-k", folder_.path().string(), "-c", "listen_addresses=",
      "-c", "max_connections=200",          "-c", "shared_buffers=32MB"};
  for (const auto& setting : settings_) {
    arguments.emplace_back("-c");
    arguments.push_back(setting);
  }
  postmaster_ = run("postgres", arguments);
  const auto give_up = base::SteadyClock::now() + start_patience;
  store::postgres::Session session(as_superuser(url("postgres")));
  store::postgres::Waker never;
  for (;;) {
    try {
      return session.connect();
    } catch (const base::Failure&) {
      const bool is_over = ::waitpid(postmaster_, nullptr, WNOHANG) == postmaster_;
      if (is_over) postmaster_ = -1;
      if (is_over || base::SteadyClock::now() > give_up)
        base::throw_failure(base::Code::unavailable, "cannot start PostgreSQL: " + log());
    }
    never.wait_until(base::SteadyClock::now() + std::chrono::milliseconds(20));
  }
}

void PostgresServer::stop(Stop how) {
  if (postmaster_ < 0) return;
  ::kill(postmaster_, how == Stop::fast ? SIGINT : SIGQUIT);
  (void)exit_code_of(std::exchange(postmaster_, -1));
}

std::string PostgresServer::make_database() {
  auto name = "t" + std::to_string(++databases_);
  store::postgres::Session session(as_superuser(url("postgres")));
  session.connect();
  (void)session.query_text("CREATE DATABASE " + name);
  return name;
}

std::string PostgresServer::url(const std::string& database, const std::string& parameters) const {
  std::string host;
  for (const char c : folder_.path().string()) c == '/' ? host.append("%2F") : host.append(1, c);
  return "postgres://" + std::string(superuser) + "@" + host + "/" + database +
         (parameters.empty() ? "" : "?" + parameters);
}

void PostgresServer::execute(const std::string& database, const std::string& script) {
  store::postgres::Session session(as_superuser(url(database)));
  session.connect();
  session.execute(script);
}

std::string PostgresServer::log() const {
  return base::read_file(folder_ / "log", 16 << 20).value_or("");
}

}  // namespace agentrouter::testing
