#pragma once
// For tests: the API on a real server, store and folder, and a client that sends what it is told to.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <thread>

#include "api/blobs_test.h"
#include "api/api.h"
#include "base/json.h"
#include "blobs/fs/fs_blobs.h"
#include "net/server.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/builders.h"
#include "testing/fixed_entropy.h"
#include "testing/manual_clock.h"
#include "testing/temp_dir.h"

namespace agentrouter::api {

// What comes when the files of a run are asked for: a head, pieces, and whether that is all of it.
class ToldFiles final : public workspace::FileAnswer {
 public:
  explicit ToldFiles(json::object head, std::vector<std::string> pieces = {}, bool cut = false)
      : head_(std::move(head)), pieces_(std::move(pieces)), cut_(cut) {}
  [[nodiscard]] const json::object& head() const override { return head_; }
  [[nodiscard]] base::Task<base::Result<std::string>> next() override {
    if (at_ < pieces_.size()) co_return pieces_[at_++];
    if (cut_) co_return base::fail(base::Code::unavailable, "cut off");
    co_return std::string();
  }

 private:
  json::object head_;
  std::vector<std::string> pieces_;
  bool cut_;
  std::size_t at_ = 0;
};

struct Reply {
  int status = 0;
  std::string head;
  std::string body;

  [[nodiscard]] json::object object() const;
  [[nodiscard]] std::string error_code() const;
  // The value of a header field, "" when there is none. Names as the server writes them.
  [[nodiscard]] std::string header(const std::string& name) const;
};

// The reply whose bytes these are, whole.
Reply read_reply(const std::string& all);

// A connection that sends what it is told to, byte for byte. What went over it is added to the file that
// AGENTROUTER_EXCHANGES names, for the test that holds it against openapi/openapi.yaml.
class Wire {
 public:
  // With `kept`, what went over it is held against openapi.yaml after the tests.
  explicit Wire(std::uint16_t port, bool kept = true);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  void send(const std::string& bytes);
  // Reads until `mark` has come or the peer closes; gives everything so far.
  const std::string& read_until(const std::string& mark);
  const std::string& read_to_end() { return read_until(std::string("\0never", 6)); }

 private:
  base::Fd socket_;
  bool kept_;
  std::string sent_;
  std::string text_;
  bool ended_ = false;  // the peer has closed
};

// Of an action that asked() makes.
inline std::string test_digest() {
  return "sha256:" + std::string(64, 'a');
}

// Of workspaces, "/allowed" is, and looking at "/defect" throws what no route expects.
class TestDesk final : public UploadDesk {
 public:
  [[nodiscard]] std::uint64_t max_bytes() const override { return 100'000; }
  [[nodiscard]] std::chrono::milliseconds keep() const override { return std::chrono::hours(1); }
  [[nodiscard]] base::Result<std::unique_ptr<IncomingUpload>> begin(const std::string& workspace) override;
  [[nodiscard]] bool trim(const std::vector<std::string>& in_use) override;

  // What a folder would hold. An upload says which way it goes: "refused", "limit", "unreadable", "full".
  std::string last;
  std::atomic<int> held = 0;
  bool has_room = true;
  std::vector<std::string> in_use;
};

class ApiRig : public ::testing::Test {
 protected:
  // `master_key` of "" is none: the vault is locked, or has nothing yet.
  explicit ApiRig(const std::string& master_key = "master key", runs::QueueRules queue = {},
                  base::Pace::Rule upload_pace = {});
  ~ApiRig() override;

  template <class MakeTask>
  void on_task(MakeTask make) {
    std::promise<void> done;
    asio::co_spawn(io_.get_executor(), make(), [&done](std::exception_ptr error) {
      error ? done.set_exception(error) : done.set_value();
    });
    done.get_future().get();
  }
  template <class Work>
  void write(Work work) {
    on_task(
        [&]() -> base::Task<void> { co_await store_->write([&work](store::Transaction& tx) { work(tx); }); });
  }

  static std::string key() { return "Authorization: Bearer test-key\r\n"; }
  static std::string request(const std::string& method, const std::string& target, const std::string& body,
                             const std::string& headers);
  Reply raw(const std::string& text);
  Reply get(const std::string& target, const std::string& more = "");
  Reply post(const std::string& target, const std::string& body, const std::string& more = "");

  // The id of a new run.
  std::string created(const std::string& body = R"({"task":"t"})");
  // Append an event as use cases do.
  void append(const std::string& run, model::EventDraft draft);
  void append_claim(const std::string& run);
  void append_message(const std::string& run, std::string_view text = "m");
  // Ends it as a worker does: event, status, session, and the end of the turn.
  void end_run(const std::string& id, model::RunStatus status = model::RunStatus::completed);
  // Lets the agent of this run ask for its one action; gives the action's id.
  std::string asked(const std::string& run, const std::string& digest = test_digest());

  // What the files of runs are, and what pushes come to; both have heard what was asked.
  std::function<base::Result<std::unique_ptr<workspace::FileAnswer>>()> files_;
  std::vector<workspace::FileRequest> asked_files_;
  std::function<base::Result<PushAnswer>()> pushes_;
  std::vector<PushBody> asked_pushes_;

  // Told when a request with a stored key was judged, at most once a minute for each key.
  std::function<void()> key_used_ = [] {};

  bool described_ = true;  // by openapi.yaml, so that what it answers is held against it
  testing::TempDir folder_;
  testing::ManualClock clock_;
  testing::FixedEntropy entropy_;
  asio::io_context io_{1};
  base::Pool pool_{1};
  std::unique_ptr<store::Store> store_ =
      base::value_or_throw(store::open_sqlite_store(folder_.path() / "db"));
  std::unique_ptr<TestBlobs> blobs_ =
      std::make_unique<TestBlobs>(base::value_or_throw(blobs::open_fs_blobs(folder_.path() / "blobs")));
  stream::Hub hub_{io_.get_executor(), *store_};
  TestDesk desk_;
  vault::Vault vault_;
  Api api_;
  net::Server server_;
  std::optional<asio::executor_work_guard<base::Executor>> work_{io_.get_executor()};
  std::thread thread_{[this] { io_.run(); }};
  std::uint16_t port_ = 0;
};

}  // namespace agentrouter::api
