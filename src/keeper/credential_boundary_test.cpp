// What an attempt makes of the check of its boundary: nothing starts before it has said that all is well.

#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

class CredentialBoundary : public KeeperTest {
 protected:
  static std::string report(const std::string& surface, const std::string& where) {
    BoundaryReport report;
    report.surface = surface;
    report.where = where;
    return base::to_text(report.to_json());
  }
  std::string cause() const { return std::string(base::get_string(*base::get_object(exit(), "failure"), "cause").value_or("")); }
};

TEST_F(CredentialBoundary, IsProvenWithWhatTheAgentWillHave) {
  key_ = base::value_or_throw(egress::Secret::create("sk-boundary-key-1"));
  plan_.provider = Provider::upstream;
  plan_.base_url = "http://127.0.0.1:9/v1";
  plan_.hidden = base::Needles(std::vector<std::string_view>{"the-server's-own-key"}, entropy_).to_text();
  plan_.program.resume_argv = {"--resume", "x"};
  plan_.mcp = {{"tracker", "http://127.0.0.1:1/mcp", {{"X-Key", {}, 17}}}};
  mcp_secrets_.push_back(base::value_or_throw(egress::Secret::create_field("mcp-header-value1")));
  agent({.says = "say done\n"});
  keep();
  ASSERT_TRUE(sandbox_->checked);
  EXPECT_THAT(sandbox_->checked->env, ::testing::IsEmpty()) << "it says what the checker's own loader does";
  std::string environment;
  for (const auto& variable : sandbox_->spawned->env) environment.append(variable).push_back('\0');
  EXPECT_EQ(sandbox_->checked_environment, environment);
  EXPECT_EQ(sandbox_->checked->argv.at(3), "host");
  EXPECT_THAT(sandbox_->checked->argv, IsSupersetOf({"/opt/agent", "--resume"}));
  EXPECT_EQ(sandbox_->needles.find("sk-boundary-key-1"), std::string::npos);
  std::vector<base::Needles> sets;
  for (std::size_t at = 0, end = 0; (end = sandbox_->needles.find('\n', at)) != std::string::npos; at = end + 1)
    sets.push_back(base::value_or_throw(base::Needles::parse(sandbox_->needles.substr(at, end - at))));
  const base::Redactor secrets(std::move(sets));
  EXPECT_TRUE(secrets.occurs_in("x sk-boundary-key-1"));
  EXPECT_TRUE(secrets.occurs_in("the-server's-own-key"));
  EXPECT_TRUE(secrets.occurs_in("mcp-header-value1"));
  EXPECT_FALSE(secrets.occurs_in("sk-boundary-key-2"));
}

TEST_F(CredentialBoundary, TheSystemOfAnImageIsLookedAtToo) {
  plan_.image = "fruit";
  agent({.says = "say done\n"});
  keep();
  ASSERT_TRUE(sandbox_->checked);
  EXPECT_EQ(sandbox_->checked->argv.at(3), "image");
}

TEST_F(CredentialBoundary, SaysWhatWasLookedAt) {
  agent({.says = "say done\n"});
  keep();
  const auto seen = payload("credential_boundary.verified");
  EXPECT_EQ(base::to_text(seen.at("checkedSurfaces")), R"(["env","proc","home"])");
  EXPECT_EQ(base::to_text(seen.at("alsoChecked")), R"(["files","sockets","descriptors"])");
  EXPECT_EQ(seen.at("workspaceHoldsSecret"), false);
  EXPECT_EQ(seen.at("complete"), true);
}

TEST_F(CredentialBoundary, EachSurfaceThatHoldsASecretStopsTheRunBeforeTheAgent) {
  for (const char* surface : {"env", "proc", "home", "files", "sockets", "descriptors"}) {
    std::filesystem::remove(folder_ / "journal");
    agent({.says = "say done\n"}).checker_says = report(surface, "some place");
    keep();
    EXPECT_EQ(outcome(), "failed credential_boundary_failed") << surface;
    EXPECT_EQ(cause(), surface);
    EXPECT_THAT(exit_text(), HasSubstr("some place"));
    EXPECT_FALSE(sandbox_->spawned);
    EXPECT_THAT(kinds(), Not(Contains("credential_boundary.verified")));
    EXPECT_THAT(kinds(), Not(Contains("action.proposed")));
  }
}

TEST_F(CredentialBoundary, CheckThatProvesNothingStopsTheRun) {
  for (const auto* says : {"", "{}", "garbage", R"({"surface":"elsewhere"})"}) {
    std::filesystem::remove(folder_ / "journal");
    agent({.says = "say done\n"}).checker_says = says;
    keep();
    EXPECT_EQ(outcome(), "failed credential_boundary_failed") << says;
    EXPECT_EQ(cause(), "unproven");
    EXPECT_FALSE(sandbox_->spawned);
  }
}

TEST_F(CredentialBoundary, CheckThatEndsBadlyOrCannotBeStartedStopsTheRun) {
  agent({.says = "say done\n"}).checker_exit = 1;
  keep();
  EXPECT_EQ(outcome(), "failed credential_boundary_failed");
  std::filesystem::remove(folder_ / "journal");
  agent({.says = "say done\n"}).refuse_check = base::Error{base::Code::exhausted, "no process can be started", {}};
  keep();
  EXPECT_EQ(outcome(), "failed credential_boundary_failed");
  EXPECT_THAT(exit_text(), HasSubstr("no process can be started"));
}

TEST_F(CredentialBoundary, SandboxThatIsGoneBeforeItWasCheckedIsNoAnswerAndLeavesTheAttemptToBeRepeated) {
  agent({.says = "say done\n"}).refuse_check =
      base::Error{base::Code::unavailable, "cannot reach the sandbox: its init has ended", "sandbox_gone"};
  keep();
  EXPECT_THAT(kinds(), ElementsAre("hello", "sandbox.created"));
}

TEST_F(CredentialBoundary, CheckThatTakesTooLongIsKilledAndProvesNothing) {
  auto& sandbox = agent({.says = "say done\n"});
  sandbox.checker_hangs = true;
  base::Result<BoundaryReport> checked = base::fail(base::Code::internal, "not asked");
  const auto check = [&]() -> base::Task<void> {
    Notices notices(io_.get_executor(), sandbox);
    const base::Redactor secrets;
    checked =
        co_await check_boundary(sandbox, notices, plan_.program, BoundaryView::System::of_host, secrets, 1ms);
    co_await sandbox.stop();
  };
  testing::run_task(io_, check());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, base::Code::timeout);
}

TEST_F(CredentialBoundary, CancelEndsTheCheck) {
  agent({.says = "say done\n"}).checker_hangs = true;
  keep([](LineSocket socket) -> base::Task<void> {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    (void)co_await socket.write(to_line(ServerMessage(CancelMessage{})));
    co_await until_bye(socket);
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  });
  EXPECT_EQ(outcome(), "cancelled");
  EXPECT_FALSE(sandbox_->spawned);
}

TEST(BoundaryReport, IsReadBackAsItWasWritten) {
  BoundaryReport report;
  report.surface = "home";
  report.where = "/home/agent/a \"b\"";
  report.files = 3;
  report.workspace_holds_secret = true;
  const auto read = BoundaryReport::parse(base::to_text(report.to_json()));
  ASSERT_TRUE(read);
  EXPECT_EQ(base::to_text(read->to_json()), base::to_text(report.to_json()));
}

}  // namespace
}  // namespace agentrouter::keeper
