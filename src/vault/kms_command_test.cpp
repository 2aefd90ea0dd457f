#include "vault/kms_command.h"

#include <poll.h>

#include <csignal>

#include "vault/fixture_test.h"

namespace agentrouter::vault {

namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

const Place service_place{"team", "data_key", "3"};

class KeyService : public ::testing::Test {
 protected:
  KeyService() { ::signal(SIGPIPE, SIG_IGN); }
  // What comes of wrapping where the program does this first.
  base::Error problem(const std::string& more, std::chrono::milliseconds timeout = 20s) {
    script_.say("k1", more);
    auto wrapped = KmsCommand(script_.config(timeout)).wrap(key_, service_place);
    EXPECT_FALSE(wrapped);
    if (wrapped) return {};
    EXPECT_EQ(wrapped.error().reason, "vault_locked");
    EXPECT_THAT(wrapped.error().message, HasSubstr("/usr/bin/python3"));
    return wrapped.error();
  }

  KmsScript script_;
  Key key_ = key_named("data");
};

TEST_F(KeyService, WrapsAndUnwrapsWithTheContextOfTheKey) {
  const KmsCommand service(script_.config());
  const auto wrapped = base::value_or_throw(service.wrap(key_, service_place));
  EXPECT_EQ(wrapped.key_id, "k1");
  EXPECT_EQ(base::value_or_throw(service.unwrap(wrapped, service_place)).id(), key_.id());
  EXPECT_EQ(base::value_or_throw(service.key_id()), "k1");
  EXPECT_EQ(script_.asked(), "wrap unwrap key");
  const auto elsewhere = service.unwrap(wrapped, {"other", "data_key", "3"});
  ASSERT_FALSE(elsewhere);
  EXPECT_THAT(elsewhere.error().message, HasSubstr("it says \"of another context\""));
}

TEST_F(KeyService, GetsNothingButWhatItIsGiven) {
  EXPECT_THAT(problem("sys.exit(' '.join(sorted(os.environ)))").message, HasSubstr("status 1: A"));
}

TEST_F(KeyService, ThatFailsSaysWhy) {
  EXPECT_THAT(problem("sys.exit('no credentials\\nline 2')").message,
              HasSubstr("ended with status 1: no credentials"));
  EXPECT_THAT(problem("os.kill(os.getpid(), 9)").message, HasSubstr("status 137"));
  EXPECT_THAT(problem("print(json.dumps({'error': 'access denied'})); sys.exit(3)").message,
              HasSubstr("access denied"));
  EXPECT_THAT(problem("print('hello'); sys.exit(0)").message, HasSubstr("no object of JSON"));
  EXPECT_THAT(problem("print('{}'); sys.exit(0)").message, HasSubstr("no usable \"keyId\""));
  EXPECT_THAT(problem("print('{\"keyId\":\"k\",\"data\":\"?\"}'); sys.exit(0)").message,
              HasSubstr("no base64"));
}

TEST_F(KeyService, ThatFloodsIsCutOff) {
  EXPECT_THAT(problem("print('x' * 1000000)").message, HasSubstr("more than 65536 bytes"));
  EXPECT_THAT(problem("sys.stderr.write('y' * 1000000); sys.exit(4)").message, HasSubstr("status 4: yyy"));
}

TEST_F(KeyService, ThatHangsIsKilledWithWhatItHasStarted) {
  const auto pids = (script_.folder() / "pids").string();
  const auto error = problem(
      "child = os.fork()\nopen('" + pids + "', 'a').write(f'{os.getpid()}\\n')\ntime.sleep(600)", 4000ms);
  EXPECT_EQ(error.code, base::Code::timeout);
  EXPECT_THAT(error.message, HasSubstr("not answered in time"));
  std::ifstream lines(pids);
  int seen = 0;
  for (pid_t pid = 0; lines >> pid; ++seen) {
    const auto lives = [pid] {
      const auto state = base::read_file("/proc/" + std::to_string(pid) + "/stat");
      return state && state->find(") Z ") == std::string::npos && state->find(") X ") == std::string::npos;
    };
    // It was killed; being gone takes a moment.
    for (int tries = 0; lives() && tries < 2000; ++tries) ::poll(nullptr, 0, 5);
    EXPECT_FALSE(lives());
  }
  EXPECT_EQ(seen, 2);
}

TEST_F(KeyService, ThatDoesNotReadOrDoesNotEndIsOverItsTime) {
  auto config = script_.config(3s);
  config.argv = {"/bin/sh", "-c", "exec 0<&-; exec sleep 600"};
  const auto deaf = KmsCommand(config).wrap(key_, service_place);
  ASSERT_FALSE(deaf);
  EXPECT_EQ(deaf.error().code, base::Code::timeout);
  config.argv = {"/bin/sh", "-c", "exec 1>&- 2>&-; exec sleep 600"};
  const auto endless = KmsCommand(config).wrap(key_, service_place);
  ASSERT_FALSE(endless);
  EXPECT_THAT(endless.error().message, HasSubstr("not ended in time"));
}

TEST_F(KeyService, ThatIsNotThereSaysSo) {
  const KmsCommand service({{"/nonexistent/kms"}, {}, 1s});
  const auto wrapped = service.wrap(key_, service_place);
  ASSERT_FALSE(wrapped);
  EXPECT_THAT(wrapped.error().message, HasSubstr("cannot start /nonexistent/kms"));
  EXPECT_EQ(wrapped.error().code, base::Code::unavailable);
}

TEST_F(KeyService, ThatGivesBackAnotherKeyIsNotBelieved) {
  script_.say("k1", "print(json.dumps({'data': base64.b64encode(b'short').decode()})); sys.exit(0)");
  const auto key = KmsCommand(script_.config()).unwrap({"k1", "YWJj"}, service_place);
  ASSERT_FALSE(key);
  EXPECT_THAT(key.error().message, HasSubstr("no data key"));
}

}  // namespace

}  // namespace agentrouter::vault
