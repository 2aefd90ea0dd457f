// Several nodes on one database, and what they do while it is away.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <condition_variable>
#include <thread>

#include "store/postgres/postgres_store.h"
#include "store/postgres/proxy_test.h"
#include "store/postgres/session.h"
#include "testing/builders.h"
#include "testing/run_task.h"

namespace agentrouter::store::postgres {

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Not;

// What a node was told, in its order; waits for it.
class Told final : public CommitListener {
 public:
  void committed(std::shared_ptr<const std::vector<model::Event>> events) override {
    const std::lock_guard lock(mutex_);
    for (const auto& event : *events) all_.push_back(event.payload);
    changed_.notify_all();
  }
  void run_changed(const model::RunId&, model::RunStatus) override {}
  void missed() override {
    const std::lock_guard lock(mutex_);
    missed_ = true;
    changed_.notify_all();
  }

  std::vector<std::string> first(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, 60s, [&] { return all_.size() >= count; })) << "it is never told";
    return all_;
  }
  bool has_missed() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 60s, [&] { return missed_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> all_;  // guarded by mutex_
  bool missed_ = false;           // guarded by mutex_
};

// One server's part: a store with a listener.
class Node {
 public:
  explicit Node(PostgresOptions options)
      : store_(base::value_or_throw(open_postgres_store(std::move(options)))) {
    store_->add_listener(&told);
  }
  ~Node() { store_.reset(); }

  template <class Work>
  auto write(Work work) {
    return testing::run_task(io_, store_->write(std::move(work)));
  }
  template <class Work>
  auto read(Work work) {
    return testing::run_task(io_, store_->read(std::move(work)));
  }
  void append(std::string_view run, const std::string& payload) {
    write([&](Transaction& tx) {
      tx.append(testing::run_id(run), testing::make_draft("agent.progress", payload));
    });
  }
  std::size_t events(std::string_view run) {
    return read([&](Reader& reader) { return reader.events(testing::run_id(run), 0, 10'000); }).size();
  }
  // The reason of what writing fails with; empty when it works.
  std::string try_to_append(std::string_view run, const std::string& payload) {
    try {
      append(run, payload);
    } catch (const base::Failure& failure) {
      EXPECT_EQ(failure.error().code, base::Code::unavailable) << failure.what();
      return failure.error().reason;
    }
    return {};
  }
  void append_until_it_works(std::string_view run, const std::string& payload) {
    const auto give_up = std::chrono::steady_clock::now() + 60s;
    while (!try_to_append(run, payload).empty()) ASSERT_LT(std::chrono::steady_clock::now(), give_up);
  }
  Store& store() { return *store_; }
  asio::io_context& io() { return io_; }

  Told told;

 private:
  asio::io_context io_;
  std::unique_ptr<Store> store_;
};

class Nodes : public ::testing::Test {
 protected:
  PostgresOptions options() { return {.url = server_.url(database_), .connections = 2}; }
  PostgresOptions through(const Proxy& proxy) {
    auto made = options();
    made.url = proxy.url(database_);
    return made;
  }
  static void insert(Node& node, std::string_view run) {
    node.write([&](Transaction& tx) { tx.insert_run(testing::make_run(run), ""); });
  }

  testing::PostgresServer& server_ = testing::PostgresServer::shared();
  std::string database_ = server_.make_database();
};

TEST_F(Nodes, EachIsToldOfEveryCommitOnceAndInOneOrder) {
  Node first(options());
  Node second(options());
  insert(first, "a");
  constexpr int count = 40;
  const auto write_all = [](Node& node, const std::string& name) {
    for (int i = 0; i < count; ++i) node.append("a", "\"" + name + std::to_string(i) + "\"");
  };
  std::thread other([&] { write_all(second, "s"); });
  write_all(first, "f");
  other.join();
  const auto told = first.told.first(2 * count);
  EXPECT_EQ(told.size(), 2u * count);
  EXPECT_EQ(second.told.first(2 * count), told);
  const auto stored = first.read([](Reader& reader) { return reader.events(testing::run_id("a"), 0, 1000); });
  std::vector<std::string> payloads;
  for (const auto& event : stored) payloads.push_back(event.payload);
  EXPECT_EQ(payloads, told);
}

TEST_F(Nodes, OneThatOnlyLooksAgainAndAgainHearsTheSame) {
  Node writing(options());
  auto polling_options = options();
  polling_options.prepared = false;
  Node polling(polling_options);
  insert(writing, "a");
  writing.append("a", "\"1\"");
  polling.append("a", "\"2\"");
  writing.append("a", "\"3\"");
  EXPECT_THAT(polling.told.first(3), ElementsAre("\"1\"", "\"2\"", "\"3\""));
  EXPECT_THAT(writing.told.first(3), ElementsAre("\"1\"", "\"2\"", "\"3\""));
}

TEST_F(Nodes, NoClosureRunsBesideOneOfAnotherNode) {
  Node first(options());
  Node second(options());
  insert(first, "a");
  std::atomic<int> inside = 0;
  std::atomic<bool> were_two = false;
  const auto work = [&](Node& node) {
    for (int i = 0; i < 20; ++i) {
      node.write([&](Transaction& tx) {
        if (++inside > 1) were_two = true;
        (void)tx.run(testing::run_id("a"));
        std::this_thread::yield();
        --inside;
      });
    }
  };
  std::thread other([&] { work(second); });
  work(first);
  other.join();
  EXPECT_FALSE(were_two);
}

TEST_F(Nodes, AClosureThatThePlaceRefusesUndoesOnlyItself) {
  Node node(options());
  insert(node, "a");
  const auto twice = [&](Transaction& tx) {
    tx.append(testing::run_id("a"), testing::make_draft("agent.progress"));
    tx.insert_run(testing::make_run("a"), "");
  };
  EXPECT_THROW(node.write(twice), base::Failure);
  EXPECT_EQ(node.events("a"), 0u);
  node.append("a", "\"after\"");
  EXPECT_EQ(node.events("a"), 1u);
}

TEST_F(Nodes, ACommitWhoseAnswerIsLostHasHappenedOnceAndIsToldOnce) {
  Proxy proxy(server_);
  Node node(through(proxy));
  insert(node, "a");
  node.append("a", "\"0\"");
  proxy.lose_next("commit_all", Proxy::Lose::answer);
  node.append("a", "\"1\"");
  EXPECT_TRUE(proxy.has_lost());
  EXPECT_EQ(node.events("a"), 2u);
  node.append("a", "\"2\"");
  EXPECT_THAT(node.told.first(3), ElementsAre("\"0\"", "\"1\"", "\"2\""));
}

TEST_F(Nodes, ACommitThatNeverCameHasNotHappenedAndSaysSo) {
  Proxy proxy(server_);
  Node node(through(proxy));
  insert(node, "a");
  node.append("a", "\"0\"");
  proxy.lose_next("commit_all", Proxy::Lose::request);
  EXPECT_EQ(node.try_to_append("a", "\"1\""), "storage_failed");
  EXPECT_TRUE(proxy.has_lost());
  EXPECT_EQ(node.events("a"), 1u);
  node.append("a", "\"2\"");
  EXPECT_THAT(node.told.first(2), ElementsAre("\"0\"", "\"2\""));
}

TEST_F(Nodes, ACommitThatTheLogMayHaveForgottenIsNotSaidToHaveFailed) {
  Proxy proxy(server_);
  auto forgetful = through(proxy);
  forgetful.keep_commits = 0s;
  Node node(forgetful);
  insert(node, "a");
  proxy.lose_next("commit_all", Proxy::Lose::request);
  EXPECT_EQ(node.try_to_append("a", "\"1\""), "commit_unknown");
  EXPECT_TRUE(proxy.has_lost());
  node.append("a", "\"2\"");
}

TEST_F(Nodes, AConnectionThatIsLostInAClosureUndoesItAndTheClosureIsNotRunAgain) {
  Proxy proxy(server_);
  Node node(through(proxy));
  insert(node, "a");
  int ran = 0;
  const auto work = [&](Transaction& tx) {
    ++ran;
    tx.append(testing::run_id("a"), testing::make_draft("agent.progress"));
    proxy.cut();
    (void)tx.run(testing::run_id("b"));
  };
  EXPECT_THROW(node.write(work), base::Failure);
  EXPECT_EQ(ran, 1);
  node.append_until_it_works("a", "\"1\"");
  EXPECT_EQ(node.events("a"), 1u);
}

TEST_F(Nodes, ConnectionsThatWereCutWhileNothingWasAskedAreMadeAnewUnseen) {
  Proxy proxy(server_);
  Node node(through(proxy));
  insert(node, "a");
  EXPECT_EQ(node.events("a"), 0u);
  proxy.cut();
  node.append("a", "\"1\"");
  EXPECT_EQ(node.events("a"), 1u);
}

TEST_F(Nodes, WhileTheDatabaseIsAwayCallsFailSoonAndAfterwardsTheyWork) {
  Proxy proxy(server_);
  Node node(through(proxy));
  insert(node, "a");
  proxy.refuse(true);
  proxy.cut();
  EXPECT_EQ(node.try_to_append("a", "\"1\""), "storage_failed");
  EXPECT_THROW((void)node.events("a"), base::Failure);
  proxy.refuse(false);
  node.append_until_it_works("a", "\"2\"");
  EXPECT_THAT(node.told.first(1), ElementsAre("\"2\""));
}

TEST_F(Nodes, OneThatWasCutOffHearsOfWhatItMissedInOrder) {
  Proxy proxy(server_);
  Node away(through(proxy));
  Node there(options());
  insert(there, "a");
  there.append("a", "\"1\"");
  EXPECT_THAT(away.told.first(1), ElementsAre("\"1\""));
  proxy.refuse(true);
  proxy.cut();
  for (const auto* payload : {"\"2\"", "\"3\"", "\"4\""}) there.append("a", payload);
  proxy.refuse(false);
  EXPECT_THAT(away.told.first(4), ElementsAre("\"1\"", "\"2\"", "\"3\"", "\"4\""));
}

TEST_F(Nodes, OneThatWasAwayForLongerThanCommitsAreKeptLooksAtEverything) {
  Proxy proxy(server_);
  Node away(through(proxy));
  Node there(options());
  insert(there, "a");
  there.append("a", "\"1\"");
  EXPECT_THAT(away.told.first(1), ElementsAre("\"1\""));
  proxy.refuse(true);
  proxy.cut();
  there.append("a", "\"2\"");
  server_.execute(database_, "DELETE FROM commits");
  there.append("a", "\"3\"");
  proxy.refuse(false);
  EXPECT_TRUE(away.told.has_missed());
  there.append("a", "\"4\"");
  EXPECT_THAT(away.told.first(2), ElementsAre("\"1\"", "\"4\""));
}

TEST_F(Nodes, AnotherHistoryUnderTheSamePositionsIsNoticed) {
  Proxy proxy(server_);
  Node away(through(proxy));
  Node there(options());
  insert(there, "a");
  there.append("a", "\"1\"");
  EXPECT_THAT(away.told.first(1), ElementsAre("\"1\""));
  proxy.refuse(true);
  proxy.cut();
  server_.execute(database_, "UPDATE commits SET node = 'of a server that took over'");
  proxy.refuse(false);
  EXPECT_TRUE(away.told.has_missed());
}

TEST_F(Nodes, WhoHasTheTurnAndSaysNothingLosesItToTheOthers) {
  auto impatient = options();
  impatient.idle_timeout = 200ms;
  Node frozen(impatient);
  Node other(options());
  insert(other, "a");
  std::atomic<bool> is_done = false;
  const auto work = [&](Transaction& tx) {
    (void)tx.run(testing::run_id("a"));
    std::thread waiting([&] {
      other.append("a", "\"other\"");
      is_done = true;
    });
    waiting.join();
    tx.append(testing::run_id("a"), testing::make_draft("agent.progress", "\"frozen\""));
  };
  EXPECT_THROW(frozen.write(work), base::Failure);
  EXPECT_TRUE(is_done);
  EXPECT_EQ(other.events("a"), 1u);
}

TEST_F(Nodes, AServerThatBecomesReadOnlyRefusesWritesAndAnswersReads) {
  Node node(options());
  insert(node, "a");
  server_.execute("postgres", "ALTER DATABASE " + database_ + " SET default_transaction_read_only = on");
  server_.execute("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" +
                                  database_ + "'");
  EXPECT_EQ(node.try_to_append("a", "\"1\""), "storage_failed");
  EXPECT_EQ(node.events("a"), 0u);
  server_.execute("postgres", "ALTER DATABASE " + database_ + " SET default_transaction_read_only = off");
  node.append_until_it_works("a", "\"2\"");
}

TEST_F(Nodes, AStatementThatTakesTooLongFailsAlone) {
  auto hurried = options();
  hurried.lock_timeout = 100ms;
  hurried.statement_timeout = 300ms;
  Node node(hurried);
  insert(node, "a");
  Session blocker({.url = server_.url(database_), .application = "blocker"});
  blocker.connect();
  blocker.begin(Session::Access::write);
  (void)blocker.query_text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE");
  EXPECT_EQ(node.try_to_append("a", "\"1\""), "storage_failed");
  blocker.rollback();
  node.append("a", "\"2\"");
  EXPECT_EQ(node.events("a"), 1u);
}

TEST_F(Nodes, NoMessageHasThePassword) {
  const auto opened = open_postgres_store({.url = "postgres://user:secret-word@%2Fnowhere/database"});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().reason, "storage_failed");
  EXPECT_THAT(opened.error().message, Not(HasSubstr("secret-word")));
  for (const auto* url : {"postgres://user:secret-word@host:port/d", "mysql://user:secret-word@host/d",
                          "postgres://u:secret-word@h/d?nothing=1"}) {
    const auto refused = open_postgres_store({.url = url});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, "store_url_invalid");
    EXPECT_THAT(refused.error().message, Not(HasSubstr("secret-word")));
  }
}

TEST(NodesOfAServer, ACrashOfTheServerLosesNothingThatWasAcknowledged) {
  testing::PostgresServer server;
  const auto database = server.make_database();
  Node node({.url = server.url(database), .connections = 2});
  node.write([](Transaction& tx) { tx.insert_run(testing::make_run("a"), ""); });
  for (int i = 0; i < 5; ++i) node.append("a", "\"" + std::to_string(i) + "\"");
  server.stop(testing::PostgresServer::Stop::immediate);
  EXPECT_EQ(node.try_to_append("a", "\"lost\""), "storage_failed");
  server.start();
  node.append_until_it_works("a", "\"after\"");
  EXPECT_EQ(node.events("a"), 6u);
  EXPECT_EQ(node.told.first(6).back(), "\"after\"");
}

}  // namespace

}  // namespace agentrouter::store::postgres
