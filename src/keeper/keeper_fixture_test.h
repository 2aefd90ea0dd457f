#pragma once
// For tests of this room: keep() on the scripted sandbox, and what its journal says afterwards.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>

#include "base/file.h"
#include "keeper/attempt_rig.h"
#include "keeper/keeper.h"
#include "testing/builders.h"
#include "testing/fixed_entropy.h"
#include "testing/manual_clock.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::keeper {

using namespace std::chrono_literals;

class KeeperTest : public ::testing::Test {
 protected:
  KeeperTest() {
    ::signal(SIGPIPE, SIG_IGN);
    plan_.attempt_id = model::AttemptId("attempt_" + base::uuid_from_text("keeper"));
    plan_.run_id = testing::run_id("keeper");
    plan_.model = "gpt-5.5";
    plan_.task = "do it";
    plan_.program = {
        .argv = {"/opt/agent"}, .env = {"A=1"}, .command_name = "codex", .argv_for_action = {"app-server"}};
    plan_.limits.cancel_grace = 50ms;
    listener_ = base::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
  }

  ScriptedSandbox& agent(AgentScript script) {
    sandbox_ = std::make_unique<ScriptedSandbox>(io_.get_executor(), std::move(script));
    sandbox_->listen_on(listener_.get());
    return *sandbox_;
  }

  // Drives the attempt; `meanwhile` runs beside it once the socket serves.
  void keep(std::function<base::Task<void>(LineSocket)> meanwhile = {}) {
    if (!sandbox_) agent({});
    testing::run_task(io_, keep_all(std::move(meanwhile)));
    read_all();
  }

  base::Task<void> keep_all(std::function<base::Task<void>(LineSocket)> meanwhile) {
    base::TaskScope beside(io_.get_executor());
    KeeperNeeds needs{.executor = io_.get_executor(),
                      .sandbox = *sandbox_,
                      .attempt_dir = dir_.get(),
                      .plan = plan_,
                      .mcp_secrets = mcp_secrets_,
                      .key = key_ ? &*key_ : nullptr,
                      .clock = clock_,
                      .entropy = entropy_,
                      .make_session =
                          [this](const AttemptPlan& plan, policy::NoProgress&, const base::Redactor&) {
                            sessions_.push_back({plan.task, plan.resume_thread});
                            return std::make_unique<ScriptedSession>();
                          },
                      .on_ready =
                          [&] {
                            auto socket = connect_to_keeper(io_.get_executor(), dir_.get());
                            if (meanwhile)
                              beside.spawn(meanwhile(std::move(*socket)));
                            else
                              beside.spawn(say_done(std::move(*socket)));
                          },
                      .linger = 20s};
    kept_ = co_await keeper::keep(std::move(needs));
    co_await beside.join();
    co_await sandbox_->stop();
  }

  static base::Task<void> say_done(LineSocket socket) {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    co_await until_bye(socket);
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  }
  static base::Task<void> until_bye(LineSocket& socket) {
    for (;;) {
      auto line = co_await socket.read_line();
      if (!line || line->find("\"bye\"") != std::string::npos) co_return;
    }
  }

  void read_all() {
    const base::Fd fd(::open((folder_ / "journal").c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return;
    records_ = base::value_or_throw(read_journal(fd.get(), 0, UINT64_MAX, SIZE_MAX)).records;
  }
  std::vector<std::string> kinds() const {
    std::vector<std::string> all;
    for (const auto& record : records_) {
      const auto type = base::get_string(record.data, "type");
      all.push_back(record.kind == "event" ? std::string(type.value_or("?")) : record.kind);
    }
    return all;
  }
  json::object payload(std::string_view type) const {
    for (const auto& record : records_) {
      if (record.kind == "event" && base::get_string(record.data, "type") == type) {
        return *base::get_object(record.data, "payload");
      }
    }
    return {};
  }
  std::vector<json::object> payloads(std::string_view type) const {
    std::vector<json::object> all;
    for (const auto& record : records_) {
      if (record.kind == "event" && base::get_string(record.data, "type") == type)
        all.push_back(*base::get_object(record.data, "payload"));
    }
    return all;
  }
  const json::object& exit() const { return records_.back().data; }
  std::string exit_text() const { return base::to_text(exit()); }
  std::string outcome() const {
    const auto outcome = std::string(base::get_string(exit(), "outcome").value_or("none"));
    const json::object* failure = base::get_object(exit(), "failure");
    return failure ? outcome + " " + std::string(base::get_string(*failure, "code").value_or("")) : outcome;
  }
  std::string file(std::string_view name) const { return base::read_file(folder_ / name).value_or(""); }

  asio::io_context io_{1};
  testing::TempDir folder_;
  base::Fd dir_ = base::value_or_throw(base::open_directory(folder_.path()));
  testing::ManualClock clock_;
  testing::FixedEntropy entropy_;
  base::Fd listener_;
  std::unique_ptr<ScriptedSandbox> sandbox_;
  AttemptPlan plan_;
  std::optional<egress::Secret> key_;
  std::vector<egress::Secret> mcp_secrets_;
  base::Redactor nothing_hidden_;
  base::Result<void> kept_;
  std::vector<JournalRecord> records_;
  struct AskedSession {
    std::string task;
    std::string resume_thread;
  };
  std::vector<AskedSession> sessions_;
};

}  // namespace agentrouter::keeper
