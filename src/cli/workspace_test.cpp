#include "cli/commands_test.h"
#include "cli/folder.h"

namespace agentrouter::cli {
namespace {

// A run on `folder` that ends with a patch, and what its request said.
struct WorkspaceTest : CommandsTest {
  std::filesystem::path project = folder / "project";

  WorkspaceTest() {
    std::filesystem::create_directories(project);
    write("kept.txt", "old\n");
  }
  void write(const std::string& name, const std::string& text) { std::ofstream(project / name) << text; }
  std::string read(const std::string& name) {
    return base::read_file(project / name, 1 << 20).value_or("none");
  }
  void run_with_patch(const std::string& patch) {
    server.on("POST /v1/runs", reply(201, run_json("queued")));
    server.on("GET /v1/runs/run_1/stream", open_stream({frame(1, "run.completed")}));
    const auto artifacts = R"({"items":[)" +
                           artifact_json("artifact_2", "workspace_patch", "workspace/changes.patch", patch) +
                           "]}";
    server.on("GET /v1/runs/run_1/session",
              reply(200, R"({"run":)" + run_json("completed") + R"(,"response":null,"artifacts":)" +
                             artifacts + "}"));
    server.on("GET /v1/runs/run_1/artifacts/artifact_2/download", reply(200, patch));
  }
  std::string body_of_create() { return server.requests("POST /v1/runs").at(0).body; }

  static constexpr const char* patch =
      "diff --git a/kept.txt b/kept.txt\n--- a/kept.txt\n+++ b/kept.txt\n@@ -1 +1 @@\n-old\n+new\n";
};

TEST_F(WorkspaceTest, AUrlIsClonedByTheServer) {
  run_that_ends("completed");
  EXPECT_EQ(
      run(run_task,
          {.task = "t", .workspace = "https://host/repo.git", .ref = "main", .subdir = "lib", .depth = 1}),
      exit_code::completed);
  EXPECT_THAT(
      body_of_create(),
      HasSubstr(
          R"("workspace":{"git":{"url":"https://host/repo.git","ref":"main","depth":1,"subdir":"lib"}})"));
}

TEST_F(WorkspaceTest, TheFilesOfAnotherRunAreABeginning) {
  run_that_ends("completed");
  EXPECT_EQ(run(run_task, {.task = "t", .from_run = "run_9"}), exit_code::completed);
  EXPECT_THAT(body_of_create(), HasSubstr(R"("workspace":{"fromRun":{"runId":"run_9"}})"));
}

TEST_F(WorkspaceTest, AFolderIsSentWhenItIsAskedForAndToAnotherMachine) {
  ASSERT_EQ(0, std::system(("ln -s /etc/passwd " + (project / "out").string()).c_str()));
  server.on("POST /v1/uploads", reply(201, R"({"upload":{"id":"upload_1","bytes":9}})"));
  for (const bool remote : {false, true}) {
    run_that_ends("completed");
    Context context{client, output, in, interrupt.get_token(), leave.get_token(), line_typed, remote};
    EXPECT_EQ(run_task({.task = "t", .workspace = project, .upload = !remote}, context),
              exit_code::completed);
  }
  for (const auto& request : server.requests("POST /v1/runs")) {
    EXPECT_THAT(request.body, HasSubstr(R"("workspace":{"upload":{"id":"upload_1"}})"));
  }
  const auto sent = server.requests("POST /v1/uploads");
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].body.substr(0, 4), "\x28\xb5\x2f\xfd");
  EXPECT_EQ(sent[0].body, sent[1].body);
  EXPECT_EQ(sent[0].header("content-type"), "application/octet-stream");
  EXPECT_THAT(err.str(), HasSubstr("Left out, because an upload cannot have them: out\nSending 1 file, "));
}

TEST_F(WorkspaceTest, ChangesAreTakenOverWithoutAQuestionWhenAskedFor) {
  run_with_patch(patch);
  EXPECT_EQ(run(run_task, {.task = "t", .workspace = project, .apply = true}), exit_code::completed);
  EXPECT_EQ(read("kept.txt"), "new\n");
  EXPECT_THAT(err.str(), HasSubstr("Applied to "));
}

TEST_F(WorkspaceTest, APersonDecidesAboutTheChanges) {
  person();
  run_with_patch(patch);
  type("n");
  EXPECT_EQ(run(run_task, {.task = "t", .workspace = project}), exit_code::completed);
  EXPECT_EQ(read("kept.txt"), "old\n");
  EXPECT_THAT(err.str(), HasSubstr("? [y]es, [n]o: Take the changes over: agentrouter download run_1"));
  run_with_patch(patch);
  type("y");
  EXPECT_EQ(run(run_task, {.task = "t", .workspace = project}), exit_code::completed);
  EXPECT_EQ(read("kept.txt"), "new\n");
}

TEST_F(WorkspaceTest, ChangesThatDoNotFitChangeNothing) {
  write("kept.txt", "mine\n");
  run_with_patch(
      std::string("diff --git a/a b/a\nnew file mode 100644\n--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+a\n") +
      patch);
  EXPECT_EQ(run(run_task, {.task = "t", .workspace = project, .apply = true}), exit_code::failed);
  EXPECT_EQ(read("kept.txt"), "mine\n");
  EXPECT_FALSE(std::filesystem::exists(project / "a"));
  EXPECT_THAT(err.str(), HasSubstr("nothing was changed"));
}

TEST_F(WorkspaceTest, APatchIsForTheFolderAlsoInsideARepositoryAndNeverOutsideOfIt) {
  ASSERT_EQ(0, std::system(("git init -q " + folder.string()).c_str()));
  const TemporaryFile file(".patch");
  std::ofstream(file.path()) << patch;
  EXPECT_TRUE(apply_patch(project, file.path()));
  EXPECT_EQ(read("kept.txt"), "new\n");
  for (const std::string& name : {"../outside", ".git/config", "/tmp/agentrouter-outside"}) {
    std::ofstream(file.path()) << "diff --git a/" + name + " b/" + name +
                                      "\nnew file mode 100644\n--- /dev/null\n+++ b/" + name +
                                      "\n@@ -0,0 +1 @@\n+x\n";
    EXPECT_FALSE(apply_patch(project, file.path())) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "outside"));
}

TEST_F(WorkspaceTest, AForkIsANewRunFromATurn) {
  run_that_ends("completed");
  server.on("POST /v1/runs/run_7/fork", reply(201, run_json("queued")));
  EXPECT_EQ(run(run_task, {.task = "go on", .fork_run = "run_7", .at_turn = 2}), exit_code::completed);
  const auto request = server.requests("POST /v1/runs/run_7/fork").at(0);
  EXPECT_EQ(request.body, R"({"message":"go on","atTurn":2})");
  EXPECT_EQ(request.header("idempotency-key").size(), 36u);
}

TEST_F(WorkspaceTest, FlagsThatDoNotGoTogetherAreRefusedBeforeAnythingIsSent) {
  const std::pair<Command, const char*> wrong[] = {
      {{.workspace = project, .ref = "main"}, "--ref, --subdir and --depth go with --workspace URL"},
      {{.subdir = "a"}, "--ref, --subdir and --depth"},
      {{.workspace = "https://h/r", .upload = true}, "--upload and --apply go with --workspace DIR"},
      {{.apply = true}, "--upload and --apply"},
      {{.workspace = project, .from_run = "run_1"}, "--workspace and --from exclude each other"},
      {{.from_run = "run_1", .continue_run = "run_1"}, "--from cannot be changed in a conversation"},
      {{.continue_run = "run_1", .fork_run = "run_1"}, "--continue and --fork exclude each other"},
      {{.at_turn = 1}, "--at-turn goes with --fork"},
      {{.approve = "manual", .fork_run = "run_1"}, "--approve is the conversation's"},
  };
  for (auto [command, message] : wrong) {
    command.task = "t";
    EXPECT_THAT(message_of([&] { static_cast<void>(run(run_task, command)); }), HasSubstr(message));
  }
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(WorkspaceTest, FilesAreListedPageByPage) {
  const std::string route = "GET /v1/runs/run_1/files";
  server.on(
      route,
      reply(200,
            R"({"items":[{"path":"a\u001b[2J","type":"file","size":2048,"mode":"100644","status":" M"}],)"
            R"("nextCursor":"c1"})"));
  server.on(route, reply(200, R"({"items":[{"path":"d","type":"folder","mode":"040755"}]})"));
  EXPECT_EQ(run(show_files, {.folder = "s", .recursive = true}), exit_code::completed);
  EXPECT_EQ(out.str(), "M  100644  2.0 KiB  a\n   040755  folder   d\n");
  EXPECT_EQ(server.requests(route).at(0).target, "/v1/runs/run_1/files?prefix=s&recursive=true");
  EXPECT_EQ(server.requests(route).at(1).target, "/v1/runs/run_1/files?prefix=s&recursive=true&cursor=c1");
}

TEST_F(WorkspaceTest, AFileIsPrintedOrWritten) {
  server.on("GET /v1/runs/run_1/files/src/a%20b", reply(200, "x\x1b[2J\n"));
  EXPECT_EQ(run(show_files, {.path = "src/a b"}), exit_code::completed);
  EXPECT_EQ(out.str(), "x\x1b[2J\n");
  out.str("");
  output.out_terminal = true;
  EXPECT_EQ(run(show_files, {.path = "src/a b"}), exit_code::completed);
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b")));
  EXPECT_EQ(run(show_files, {.path = "src/a b", .output = project / "copy"}), exit_code::completed);
  EXPECT_EQ(read("copy"), "x\x1b[2J\n");
}

TEST_F(WorkspaceTest, ALargeFileIsNotForATerminal) {
  server.on("GET /v1/runs/run_1/files/big", reply(200, std::string((1 << 20) + 1, 'x')));
  output.out_terminal = true;
  EXPECT_THAT(message_of([&] { static_cast<void>(run(show_files, {.path = "big"})); }),
              HasSubstr("over 1 MiB"));
}

TEST_F(WorkspaceTest, TheWholeWorkspaceIsAnArchive) {
  server.on("GET /v1/runs/run_1/archive", reply(200, "bytes"));
  const auto named = (project / "w.tar.zst").string();
  EXPECT_EQ(run(archive_files, {.changes = true, .output = named}), exit_code::completed);
  EXPECT_EQ(read("w.tar.zst"), "bytes");
  EXPECT_EQ(server.requests("GET /v1/runs/run_1/archive").at(0).target,
            "/v1/runs/run_1/archive?format=tar.zst&changes=true");
  out.str("");
  EXPECT_EQ(run(archive_files, {.output = "-"}), exit_code::completed);
  EXPECT_EQ(out.str(), "bytes");
  output.out_terminal = true;
  EXPECT_THAT(message_of([&] { static_cast<void>(run(archive_files, {.output = "-"})); }),
              HasSubstr("not for a terminal"));
}

TEST_F(WorkspaceTest, ALogIsPrintedAndFollowedToTheEndOfTheRun) {
  server.on("GET /v1/runs/run_1/logs/stderr", reply(200, "{\"text\":\"one\"}\n"));
  EXPECT_EQ(run(show_log, {.errors = true}), exit_code::completed);
  EXPECT_EQ(out.str(), "{\"text\":\"one\"}\n");
  out.str("");
  const std::string log = "GET /v1/runs/run_1/logs/stdout";
  server.on("GET /v1/runs/run_1", reply(200, run_json("running")));
  server.on("GET /v1/runs/run_1", reply(200, run_json("completed")));
  server.on(log, reply(200, "one\nGr\xc3"));
  server.on(log, reply(200,
                       "\xbc\xc3\x9f"
                       "e\n\x1b[2J"));
  output.out_terminal = true;
  EXPECT_EQ(run(show_log, {.follow = true}), exit_code::completed);
  EXPECT_THAT(out.str(), testing::StartsWith("one\nGrüße\n"));
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b")));
  EXPECT_EQ(server.requests(log).at(0).target, "/v1/runs/run_1/logs/stdout");
  EXPECT_EQ(server.requests(log).at(1).target, "/v1/runs/run_1/logs/stdout?offset=7");
}

TEST_F(WorkspaceTest, FollowingALogEndsWithAnInterrupt) {
  server.on("GET /v1/runs/run_1", reply(200, run_json("running")));
  server.on("GET /v1/runs/run_1/logs/stdout",
            [this](scripted::Connection& connection, const scripted::Request& request) {
              interrupt.request_stop();
              reply(200, "")(connection, request);
            });
  // While it waits for the answer, or before the next look.
  EXPECT_THAT(message_of([&] { EXPECT_EQ(run(show_log, {.follow = true}), exit_code::cancelled); }),
              testing::AnyOf("none", "cancelled"));
}

TEST_F(WorkspaceTest, APushTellsTheCommit) {
  server.on("POST /v1/runs/run_1/push",
            reply(200, R"({"push":{"branch":"fix","commit":"c0ffee","url":"https://host/r","files":2}})"));
  EXPECT_EQ(run(push_changes, {.branch = "fix", .message = "Fix it"}), exit_code::completed);
  EXPECT_EQ(out.str(), "Pushed c0ffee to fix of https://host/r\n");
  EXPECT_EQ(server.requests("POST /v1/runs/run_1/push").at(0).body, R"({"branch":"fix","message":"Fix it"})");
}

}  // namespace
}  // namespace agentrouter::cli
