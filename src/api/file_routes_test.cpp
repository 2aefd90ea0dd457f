#include "api/rig_test.h"

namespace agentrouter::api {
namespace {

using ::testing::HasSubstr;
using workspace::FileRequest;

class FileRoutesTest : public ApiRig {
 protected:
  FileRoutesTest() {
    tell({}, {});
    auto run = testing::make_run("run_1");
    run.id = run.conversation_id = model::RunId("run_1");
    write([&](store::Transaction& tx) { tx.insert_run(run); });
    pushes_ = [] {
      return PushAnswer{"agentrouter/x", std::string(40, 'a'), "https://git.example/x.git", 3};
    };
  }
  void tell(json::object head, std::vector<std::string> pieces, bool cut = false) {
    files_ = [=] { return std::make_unique<ToldFiles>(head, pieces, cut); };
  }
  void refuse(base::Error error) {
    files_ = [=]() -> base::Result<std::unique_ptr<workspace::FileAnswer>> { return tl::unexpected(error); };
  }
  static std::string run_files(const std::string& rest) { return "/v1/runs/run_1/" + rest; }
};

TEST_F(FileRoutesTest, AListIsPassedOnAsItWasRead) {
  tell({}, {R"({"items":[{"path":"a","type":"file","size":1,"mode":"100644",)",
            R"("modifiedAt":"2026-01-05T09:30:04.000Z","status":"??"}],"nextCursor":"a"})"});
  const auto reply = get(run_files("files?prefix=src/&recursive=true&limit=7&cursor=src%2Fb"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.object().at("nextCursor").as_string(), "a");
  ASSERT_EQ(asked_files_.size(), 1u);
  EXPECT_EQ(asked_files_[0].path, "src");
  EXPECT_EQ(asked_files_[0].after, "src/b");
  EXPECT_EQ(asked_files_[0].limit, 7);
  EXPECT_EQ(asked_files_[0].depth, FileRequest::Depth::all);
}

TEST_F(FileRoutesTest, PathsOfAnyBytesAreAskedForEscaped) {
  (void)get(run_files("files?prefix=%5Cxff/&recursive=false&encoding=escaped"));
  tell({{"size", 0}, {"offset", 0}, {"length", 0}}, {});
  (void)get(run_files("files/a/%5Cxfe%5Cx5c?encoding=escaped"));
  (void)get(run_files("files/a/%5Cxfe"));
  ASSERT_EQ(asked_files_.size(), 3u);
  EXPECT_EQ(asked_files_[0].path, "\xff");
  EXPECT_EQ(asked_files_[1].path, "a/\xfe\\");
  EXPECT_EQ(asked_files_[2].path, "a/\\xfe");
}

TEST_F(FileRoutesTest, BadQuestionsAre400AndNobodyIsAsked) {
  for (const auto* target : {"files?limit=0",
                             "files?limit=1001",
                             "files?prefix=../x",
                             "files?prefix=%2Fetc",
                             "files?prefix=a//b",
                             "files?recursive=maybe",
                             "files?encoding=base64",
                             "files?cursor=..",
                             "files/../x",
                             "files/a/%2e%2e/b",
                             "files/a%2F..",
                             "files/%5Cx2e%5Cx2e?encoding=escaped",
                             "files/a//b",
                             "files/%00",
                             "files/a/",
                             "files/..%c0%af",
                             "archive?format=zip",
                             "archive?changes=1",
                             "logs/stdout?offset=-1",
                             "logs/stderr?offset=half"}) {
    EXPECT_EQ(get(run_files(target)).status, 400) << target;
  }
  EXPECT_TRUE(asked_files_.empty());
}

TEST_F(FileRoutesTest, AFileIsBytesAndNothingElse) {
  tell({{"size", 10}, {"offset", 0}, {"length", 10}, {"mode", "100644"}}, {"<script>", "\n\n"});
  const auto reply = get(run_files("files/index.html"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "<script>\n\n");
  EXPECT_EQ(reply.header("Content-Type"), "application/octet-stream");
  EXPECT_EQ(reply.header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(reply.header("Content-Disposition"), "attachment");
  EXPECT_EQ(reply.header("Content-Length"), "10");
  EXPECT_THAT(reply.header("Content-Security-Policy"), HasSubstr("sandbox"));
}

TEST_F(FileRoutesTest, ARangeIsAPart) {
  tell({{"size", 10}, {"offset", 2}, {"length", 3}}, {"234"});
  const auto reply = get(run_files("files/a"), "Range: bytes=2-4\r\n");
  EXPECT_EQ(reply.status, 206);
  EXPECT_EQ(reply.header("Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(reply.body, "234");
  EXPECT_EQ(asked_files_.at(0).offset, 2u);
  EXPECT_EQ(asked_files_.at(0).length, 3u);
  (void)get(run_files("files/a"), "Range: bytes=7-\r\n");
  EXPECT_EQ(asked_files_.at(1).offset, 7u);
  EXPECT_EQ(asked_files_.at(1).length, std::nullopt);
  tell({{"size", 3}, {"offset", 0}, {"length", 3}}, {"all"});
  for (const auto* ignored :
       {"bytes=-5", "bytes=4-2", "bytes=1-2,4-5", "lines=1-2", "bytes=99999999999999999999-", "bytes=a-b"}) {
    EXPECT_EQ(get(run_files("files/a"), std::string("Range: ") + ignored + "\r\n").status, 200) << ignored;
    EXPECT_EQ(asked_files_.back().offset, 0u);
  }
  EXPECT_EQ(get(run_files("files/a"), "Range: bytes=1-2\r\nIf-Range: \"x\"\r\n").status, 200);
}

TEST_F(FileRoutesTest, WhatIsCutOffDoesNotLookWhole) {
  tell({{"size", 10}, {"offset", 0}, {"length", 10}}, {"12345"}, true);
  described_ = false;
  EXPECT_EQ(get(run_files("files/a")).body, "12345");
  tell({{"size", 4}, {"offset", 0}, {"length", 4}}, {"12345"});
  EXPECT_EQ(get(run_files("files/a")).body, "");
  tell({}, {"half an archive"}, true);
  Wire wire(port_, false);
  wire.send(request("GET", run_files("archive"), "", key()));
  EXPECT_THAT(wire.read_to_end(), ::testing::Not(HasSubstr("\r\n0\r\n\r\n")));
  tell({}, {R"({"items":[)"}, true);
  EXPECT_EQ(get(run_files("files")).status, 503);
  tell({}, {"no JSON"});
  EXPECT_EQ(get(run_files("files")).status, 503);
}

TEST_F(FileRoutesTest, AnArchiveIsStreamed) {
  tell({}, {"one", "two"});
  const auto reply = get(run_files("archive?format=tar.zst&changes=true"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "onetwo");
  EXPECT_EQ(reply.header("Content-Type"), "application/zstd");
  EXPECT_EQ(asked_files_.at(0).format, FileRequest::Format::tar_zst);
  EXPECT_EQ(asked_files_.at(0).files, FileRequest::Files::changed);
  EXPECT_EQ(get(run_files("archive")).header("Content-Type"), "application/gzip");
  EXPECT_EQ(asked_files_.at(1).files, FileRequest::Files::all);
}

TEST_F(FileRoutesTest, ALogIsStreamedFromWhereTheClientIs) {
  tell({}, {"{\"text\":\"one\"}\n", "{\"text\""});
  const auto reply = get(run_files("logs/stderr?offset=17"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "{\"text\":\"one\"}\n{\"text\"");
  EXPECT_EQ(reply.header("Content-Type"), "application/x-ndjson");
  EXPECT_EQ(reply.header("Content-Disposition"), "attachment");
  (void)get(run_files("logs/stdout"));
  ASSERT_EQ(asked_files_.size(), 2u);
  EXPECT_EQ(asked_files_[0].what, FileRequest::What::log);
  EXPECT_EQ(asked_files_[0].path, "stderr");
  EXPECT_EQ(asked_files_[0].offset, 17u);
  EXPECT_EQ(asked_files_[1].path, "stdout");
  EXPECT_EQ(asked_files_[1].offset, 0u);
  for (const auto* other : {"logs/stdin", "logs/stdout.ndjson", "logs/..%2Fjournal"}) {
    EXPECT_EQ(get(run_files(other)).error_code(), "artifact_not_found") << other;
  }
  EXPECT_EQ(asked_files_.size(), 2u) << "nobody was asked";
}

TEST_F(FileRoutesTest, RefusalsHaveTheirCodes) {
  const std::vector<std::pair<const char*, int>> list_codes{
      {"run_not_found", 404}, {"file_not_found", 404}, {"files_not_kept", 404},
      {"files_gone", 410},    {"not_a_folder", 409},   {"run_not_started", 409}};
  for (const auto& [code, status] : list_codes) {
    refuse({base::Code::not_found, "why", code});
    const auto reply = get(run_files("files"));
    EXPECT_EQ(reply.status, status) << code;
    EXPECT_EQ(reply.error_code(), code);
  }
  refuse({base::Code::conflict, "why", "not_a_file", R"({"type":"link","target":"/etc/shadow"})"});
  EXPECT_THAT(get(run_files("files/a")).body, HasSubstr(R"("target":"/etc/shadow")"));
  refuse({base::Code::exhausted, "why", "file_too_large"});
  EXPECT_EQ(get(run_files("files/a")).status, 409);
  refuse({base::Code::invalid, "why", "range_not_satisfiable"});
  EXPECT_EQ(get(run_files("files/a"), "Range: bytes=99-\r\n").status, 416);
  refuse({base::Code::unavailable, "why", ""});
  EXPECT_EQ(get(run_files("archive")).status, 503);
}

TEST_F(FileRoutesTest, HeadAsksAndSendsNothing) {
  tell({{"size", 3}, {"offset", 0}, {"length", 3}}, {"abc"});
  const auto reply = raw(request("HEAD", run_files("files/a"), "", key()));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("Content-Length"), "3");
  EXPECT_EQ(reply.body, "");
}

TEST_F(FileRoutesTest, APushIsToldWithItsCommit) {
  const auto reply = post(
      run_files("push"), R"({"branch":"agentrouter/x","message":" m ","author":{"name":"n","email":"e@x"}})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"({"push":{"branch":"agentrouter/x","commit":")" + std::string(40, 'a') +
                            R"(","url":"https://git.example/x.git","files":3}})");
  EXPECT_EQ(asked_pushes_.at(0).message, "m");
  EXPECT_EQ(asked_pushes_.at(0).author->email, "e@x");
}

TEST_F(FileRoutesTest, BadPushesAre400) {
  for (const auto* body :
       {"{}", R"({"branch":"x"})", R"({"branch":"../x","message":"m"})", R"({"branch":"x","message":" "})",
        R"({"branch":"x","message":"m","force":true})",
        R"({"branch":"x","message":"m","author":{"name":"n"}})",
        R"({"branch":"x","message":"m","author":{"name":"n<","email":"e"}})",
        R"({"branch":"x","message":"m","author":"me"})", R"({"branch":5,"message":"m"})", "[]"}) {
    EXPECT_EQ(post(run_files("push"), body).error_code(), "validation_error") << body;
  }
  EXPECT_TRUE(asked_pushes_.empty());
}

TEST_F(FileRoutesTest, WhatGitDoesNotTakeOfAPushIs400WithItsField) {
  const std::vector<std::pair<std::string, std::string>> table{
      {R"({"branch":"HEAD","message":"m"})", R"(["branch"])"},
      {R"({"branch":"a.lock","message":"m"})", R"(["branch"])"},
      {R"({"branch":"x","message":"m","author":{"name":".","email":"e@x"}})", R"(["author","name"])"},
      {R"({"branch":"x","message":"m","author":{"name":"\u0001","email":"e@x"}})", R"(["author","name"])"},
      {R"({"branch":"x","message":"m","author":{"name":"n","email":","}})", R"(["author","email"])"}};
  for (const auto& [body, path] : table) {
    const auto reply = post(run_files("push"), body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_NE(reply.body.find("\"path\":" + path), std::string::npos) << reply.body;
  }
  EXPECT_TRUE(asked_pushes_.empty());
}

TEST_F(FileRoutesTest, RefusedPushesHaveTheirCodes) {
  const std::vector<std::pair<const char*, int>> codes{
      {"run_not_found", 404},     {"files_not_kept", 404},   {"files_gone", 410},
      {"push_forbidden", 403},    {"run_not_ended", 409},    {"no_git_workspace", 409},
      {"no_changes", 409},        {"too_many_changes", 409}, {"push_rejected", 409},
      {"push_base_missing", 409}, {"push_bad_name", 409},    {"push_auth_failed", 502},
      {"push_unreachable", 502},  {"push_timeout", 504}};
  for (const auto& [code, status] : codes) {
    pushes_ = [code = code]() -> base::Result<PushAnswer> {
      return base::fail(base::Code::conflict, "why", code);
    };
    const auto reply = post(run_files("push"), R"({"branch":"x","message":"m"})");
    EXPECT_EQ(reply.status, status) << code;
    EXPECT_EQ(reply.error_code(), code);
  }
}

}  // namespace
}  // namespace agentrouter::api
