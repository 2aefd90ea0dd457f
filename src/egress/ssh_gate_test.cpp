// What the gate does without a server that speaks ssh; with one it is tried in tests/e2e/test_git_ssh.py.
#include "egress/ssh_gate.h"

#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using testing::HasSubstr;

class SshGateTest : public EgressTest {
 protected:
  SshGateTest() {
    ssh.host = "127.0.0.1";
    ssh.port = provider_port;
    ssh.user = "git";
    ssh.path = "/srv/a.git";
    ssh.key = &private_key;
    ssh.known_hosts = "127.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n";
    ssh.connect_timeout = 300ms;
  }
  // What git is answered by a gate made of `ssh`, and what the gate says about it.
  Task<void> ask_gate() {
    SshGate gate(io.get_executor(), ssh);
    auto [listener, bound] = loopback_listener();
    gate.serve(std::move(listener));
    Agent git(base::value_or_throw(co_await net::connect_tcp("127.0.0.1", bound, soon())));
    answer = co_await git.rest();
    problem = gate.problem();
    co_await gate.stop();
  }
  Task<void> stop_while_it_waits() {
    SshGate gate(io.get_executor(), ssh);
    auto [listener, bound] = loopback_listener();
    gate.serve(std::move(listener));
    Agent git(base::value_or_throw(co_await net::connect_tcp("127.0.0.1", bound, soon())));
    co_await git.send("hello");
    co_await gate.stop();
    EXPECT_EQ(co_await git.rest(), "");
  }

  SshGateConfig ssh;
  Secret private_key = Secret::create("a2V5").value();
  std::string answer;
  GitProblem problem;
};

TEST_F(SshGateTest, NobodyThereIsUnreachable) {
  ssh.port = 1;
  run(ask_gate());
  EXPECT_EQ(problem.trouble, GitTrouble::unreachable);
  EXPECT_EQ(answer, "");
}

TEST_F(SshGateTest, AServerThatSpeaksSomethingElseIsUnreachable) {
  run(ask_gate());
  EXPECT_EQ(problem.trouble, GitTrouble::unreachable);
  EXPECT_EQ(answer, "");
  EXPECT_TRUE(provider.requests.empty());
}

TEST_F(SshGateTest, WithoutAHostKeyToCompareNothingIsSaid) {
  ssh.known_hosts = "127.0.0.1 ssh-rsa AAAA\n";
  run(ask_gate());
  EXPECT_EQ(problem.trouble, GitTrouble::untrusted);
  EXPECT_THAT(problem.message, HasSubstr("known_hosts"));
}

TEST_F(SshGateTest, StoppingEndsAConnectionThatWaits) {
  auto [silent, silent_port] = loopback_listener();
  ssh.port = silent_port;
  ssh.connect_timeout = 10min;
  run(stop_while_it_waits());
}

TEST(KnownHosts, TellWhichKindsOfKeysCanBeCompared) {
  EXPECT_EQ(known_key_kinds(""), "");
  EXPECT_EQ(known_key_kinds("h ssh-rsa AAAA\n"), "");
  EXPECT_EQ(known_key_kinds("h ecdsa-sha2-nistp256 AAAA\n|1|x|y ssh-ed25519 AAAA\n"),
            "ssh-ed25519,ecdsa-sha2-nistp256");
}

}  // namespace
}  // namespace agentrouter::egress
