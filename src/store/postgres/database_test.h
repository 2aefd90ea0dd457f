#pragma once
// For tests: an empty database and a session on it, without a store.

#include <gtest/gtest.h>

#include "store/postgres/schema.h"
#include "store/postgres/session.h"
#include "store/postgres/transaction.h"
#include "testing/builders.h"
#include "testing/postgres_server.h"

namespace agentrouter::store::postgres {

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() { session_.connect(); }

  SessionOptions options() {
    SessionOptions made;
    made.url = server_.url(database_);
    made.application = "a test";
    return made;
  }
  // A commit of its own, without the log of commits.
  template <class Work>
  void write(Work work) {
    session_.begin(Session::Access::write);
    transaction_.begun();
    work(transaction_);
    transaction_.finish();
    session_.commit();
  }
  std::int64_t number(const std::string& sql) { return session_.query_text(sql).front().integer(0); }
  // The reason of the Failure that `call` throws.
  static std::string reason_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const base::Failure& failure) {
      return failure.error().reason;
    }
    return "nothing thrown";
  }

  testing::PostgresServer& server_ = testing::PostgresServer::shared();
  std::string database_ = server_.make_database();
  Session session_{options()};
  Capture capture_;
  PgTransaction transaction_{session_, capture_};
};

}  // namespace agentrouter::store::postgres
