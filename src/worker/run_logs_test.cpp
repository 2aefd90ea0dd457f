#include "worker/run_logs.h"

#include <boost/asio/co_spawn.hpp>

#include "base/gzip.h"
#include "worker/fixture_test.h"
#include "worker/run_files.h"

namespace agentrouter::worker {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::StartsWith;
using workspace::FileRequest;

class RunLogsTest : public WorkerTest {
 protected:
  // What is said, or the error's reason in brackets; `...` where it was cut off.
  std::string ask(const model::RunId& id, const std::string& stream = "stdout", std::uint64_t offset = 0) {
    std::optional<std::string> said;
    asio::co_spawn(io_.get_executor(), look(id, stream, offset),
                   [&](std::exception_ptr error, std::string text) { said = error ? "thrown" : text; });
    until([&] { return said.has_value(); });
    return *said;
  }
  base::Task<std::string> look(model::RunId id, std::string stream, std::uint64_t offset) {
    FileRequest request;
    request.what = FileRequest::What::log;
    request.path = std::move(stream);
    request.offset = offset;
    auto answer = co_await files_.ask(id, request);
    if (!answer) co_return "[" + answer.error().reason + "]";
    std::string text;
    for (;;) {
      const auto piece = co_await (*answer)->next();
      if (!piece) co_return text + "...";
      if (piece->empty()) co_return text;
      text += *piece;
    }
  }
  model::Artifact artifact(const model::RunId& id, const std::string& kind) {
    for (auto& one : read([&](store::Reader& reader) { return reader.artifacts(id); }))
      if (one.kind == kind) return one;
    throw std::runtime_error("no " + kind);
  }
  // In place of what the run left, with records that fit.
  void replace(model::Artifact log, std::string_view bytes) {
    const auto stored = blobs_->put(log.r2_key, bytes);
    log.sha256 = stored.sha256;
    log.size_bytes = stored.size;
    write([&](store::Transaction& tx) { tx.put_artifact(log); });
  }

  base::Pool pool_{1};
  RunFiles files_{{io_.get_executor(), *store_, *blobs_, pool_, folder_.path(),
                   [](int, int, int, const std::string&) -> base::Result<pid_t> {
                     return base::fail(base::Code::internal, "a log needs no reader");
                   }}};
};

TEST_F(RunLogsTest, OfAnActiveRunItGrowsAndIsTheArtifactInTheEnd) {
  EXPECT_EQ(ask(model::RunId("run_nobody")), "[run_not_found]");
  const auto id = submit(endless_script);
  EXPECT_EQ(ask(id), "") << "queued";
  start();
  until_event(id, "agent.started");
  until([&] { return !ask(id).empty(); });
  const auto live = ask(id);
  EXPECT_EQ(ask(id, "stdout", 4), live.substr(4));
  EXPECT_EQ(ask(id, "stdout", live.size()), "");
  EXPECT_EQ(ask(id, "stdout", 1u << 30), "");
  EXPECT_EQ(ask(id, "stderr"), "");
  cancel(id);
  until_retired(id);
  const auto whole = ask(id);
  EXPECT_TRUE(whole.starts_with(live)) << whole;
  EXPECT_EQ(whole, *base::gunzip(blob(id, "stdout_log"), 1u << 20));
  EXPECT_EQ(ask(id, "stdout", live.size()), whole.substr(live.size()));
}

TEST_F(RunLogsTest, ALongOneComesWholeFromAnyOffset) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  std::string text;
  while (text.size() < 700'000) text += std::to_string(text.size()) + "\n";
  replace(artifact(id, "stdout_log"), base::gzip(text.substr(0, 300'000)) + base::gzip(text.substr(300'000)));
  EXPECT_EQ(ask(id), text);
  for (const std::uint64_t offset : {1u, 299'999u, 300'000u, 300'001u, 699'990u})
    EXPECT_EQ(ask(id, "stdout", offset), text.substr(offset)) << offset;
  EXPECT_EQ(ask(id, "stdout", 10'000'000), "");
}

TEST_F(RunLogsTest, OfARunWithoutAnAgentItIsEmptyAndWhatIsGoneOrDamagedIsTold) {
  start();
  const auto denied = submit(simple_script, model::ApprovalMode::block);
  until_retired(denied);
  EXPECT_EQ(ask(denied), "");
  EXPECT_EQ(ask(denied, "stderr"), "");
  const auto id = submit(simple_script);
  until_retired(id);
  const auto log = artifact(id, "stdout_log");
  replace(log, base::gzip("one\n") + base::gzip("two\n").substr(0, 12));
  EXPECT_THAT(ask(id), AllOf(StartsWith("one\n"), EndsWith("...")));
  replace(log, "no gzip");
  EXPECT_EQ(ask(id), "...");
  blobs_->put(log.r2_key, "others");
  EXPECT_EQ(ask(id), "[artifact_damaged]");
  blobs_->remove(log.r2_key);
  EXPECT_EQ(ask(id), "[artifact_not_found]");
}

}  // namespace
}  // namespace agentrouter::worker
