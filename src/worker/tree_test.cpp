// What a run stands on: base trees of uploads, and repositories that are fetched first.

#include "base/redactor.h"
#include "base/shown.h"
#include "keeper/fetch/fetch_plan.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string commit(40, 'c');

class TreeTest : public WorkerTest {
 protected:
  model::RunId submit_on(model::Workspace workspace) {
    runs::NewRun request;
    request.input = base::to_text(json::object{{"task", simple_script}});
    request.task = simple_script;
    request.workspace = std::move(workspace);
    return write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  }
  model::RunId submit_git(const std::string& ref = "main") {
    return submit_on({.kind = model::WorkspaceKind::git, .git = {.url = "https://h.test/a.git", .ref = ref}});
  }
  void make_tree(const std::string& name) {
    const auto made = trees_->make(name, [](int folder) -> base::Result<workspace::UnpackReport> {
      const base::Fd file(::openat(folder, "a", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      return workspace::UnpackReport{1, 0, 0};
    });
    ASSERT_TRUE(made);
  }
  void put_upload(const std::string& tree, base::Time until) {
    const store::Upload upload{
        .id = "upload_1", .sha256 = "s", .tree = tree, .created_at = clock_.now(), .expires_at = until};
    write([&](store::Transaction& tx) { tx.put_upload(upload); });
  }
  std::string cause(const model::RunId& id) {
    const auto found = run(id);
    return found.failure ? found.failure->code + " " + found.failure->cause
                         : std::string(model::to_string(found.status));
  }
  // A fetcher that does its part.
  void fetch_well() {
    launcher_.fetcher = [this](int stream, int folder) {
      auto received = keeper::receive_fetch(stream);
      if (!received) return;
      {
        const std::lock_guard lock(mutex_);
        plans_.push_back(received->plan);
        if (received->credential) credentials_.emplace_back(received->credential->view());
      }
      (void)base::write_all(stream, keeper::resolved_line({commit, "main"}));
      char order[16];
      if (::read(stream, order, sizeof order) <= 0) return;
      const base::Fd tar(::openat(folder, keeper::fetch_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      const std::string nothing(1024, '\0');  // a tar archive without entries
      (void)base::write_all(tar.get(), nothing);
      (void)base::write_all(stream, keeper::fetched_line());
      (void)::read(stream, order, sizeof order);
    };
  }
  void fetch_badly(const std::string& cause) {
    launcher_.fetcher = [cause](int stream, int) {
      (void)keeper::receive_fetch(stream);
      (void)base::write_all(stream, keeper::failed_line({cause, "no good"}));
      char order[16];
      (void)::read(stream, order, sizeof order);
    };
  }

  std::mutex mutex_;
  std::vector<keeper::FetchPlan> plans_;
  std::vector<std::string> credentials_;
};

TEST_F(TreeTest, ARunOfAnUploadStandsOnItsTree) {
  make_tree("upload-1-a");
  put_upload("upload-1-a", clock_.now() + 1h);
  const auto id = submit_on({.kind = model::WorkspaceKind::upload, .upload_id = "upload_1"});
  start();
  until_retired(id);
  EXPECT_EQ(cause(id), "completed");
  EXPECT_EQ(launcher_.requests.at(0).lower, trees_->path_of("upload-1-a"));
}

TEST_F(TreeTest, ATreeThatIsGoneFailsTheRun) {
  put_upload("upload-1-gone", clock_.now() + 1h);
  const auto id = submit_on({.kind = model::WorkspaceKind::upload, .upload_id = "upload_1"});
  start();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_unavailable");
  EXPECT_TRUE(launcher_.requests.empty());
}

TEST_F(TreeTest, ARepositoryIsFetchedOnceAndTheRunKeepsItsCommit) {
  fetch_well();
  config_.git.credentials["h.test"] = "dTpw";
  const auto first = submit_git();
  start();
  until_retired(first);
  EXPECT_EQ(cause(first), "completed");
  const auto workspace = run(first).workspace;
  EXPECT_EQ(workspace.commit, commit);
  EXPECT_EQ(launcher_.requests.at(1).lower, trees_->path_of(workspace.tree));
  EXPECT_THAT(launcher_.requests.at(0).argv, ElementsAre("agentrouter", "fetcher"));
  EXPECT_EQ(base::to_text(payload(first, "workspace.prepared")),
            R"({"tree":")" + workspace.tree + R"(","commit":")" + commit +
                R"(","branch":"main","files":0,"bytes":0,"cached":false})");
  const auto second = submit_git();
  until_retired(second);
  EXPECT_EQ(payload(second, "workspace.prepared").at("cached"), true);
  EXPECT_EQ(unpacker_.unpacked, 1);
  const auto exact = submit_git(commit);
  until_retired(exact);
  EXPECT_EQ(payload(exact, "workspace.prepared").at("cached"), true);
  EXPECT_EQ(plans_.size(), 2u);  // a commit that is there asks nobody
  EXPECT_THAT(credentials_, ElementsAre("dTpw", "dTpw"));
  EXPECT_THAT(left_in("attempts"), ElementsAre());
}

// A tar archive with one file, or one folder for a name with "/" at its end.
std::string tar_of(const std::vector<std::string>& names) {
  std::string tar;
  for (const auto& name : names) {
    std::string head(512, '\0');
    head.replace(0, name.size(), name);
    head.replace(100, 7, name.back() == '/' ? "0000755" : "0000644");
    head.replace(108, 7, "0000000").replace(116, 7, "0000000");
    head.replace(124, 11, "00000000000").replace(136, 11, "00000000000");
    head.replace(148, 8, "        ");
    head[156] = name.back() == '/' ? '5' : '0';
    head.replace(257, 8, std::string("ustar\0" "00", 8));
    unsigned sum = 0;
    for (const char c : head) sum += static_cast<unsigned char>(c);
    std::string digits = "000000";
    for (int i = 5; i >= 0; --i, sum >>= 3) digits[static_cast<std::size_t>(i)] = static_cast<char>('0' + (sum & 7));
    head.replace(148, 8, digits + std::string("\0 ", 2));
    tar += head;
  }
  return tar + std::string(1024, '\0');
}

// Answers by URL: what the repository holds, and its submodules.
struct Repository {
  std::vector<std::string> files;
  std::vector<keeper::Submodule> submodules;
};

class SubmoduleTest : public TreeTest {
 protected:
  void fetch_from(std::map<std::string, Repository> repositories) {
    launcher_.fetcher = [this, repositories](int stream, int folder) {
      auto received = keeper::receive_fetch(stream);
      if (!received) return;
      {
        const std::lock_guard lock(mutex_);
        plans_.push_back(received->plan);
        credentials_.emplace_back(received->credential ? std::string(received->credential->view()) : "none");
      }
      const auto found = repositories.find(received->plan.source.url);
      char order[16];
      if (found == repositories.end()) {
        (void)base::write_all(stream, keeper::failed_line({"workspace_unavailable", "nothing there"}));
        (void)::read(stream, order, sizeof order);
        return;
      }
      const auto at = received->plan.commit.empty() ? commit : received->plan.commit;
      (void)base::write_all(stream, keeper::resolved_line({at, ""}));
      if (::read(stream, order, sizeof order) <= 0) return;
      {
        const base::Fd tar(::openat(folder, keeper::fetch_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        (void)base::write_all(tar.get(), tar_of(found->second.files));
      }
      (void)base::write_all(stream, keeper::fetched_line(found->second.submodules));
      (void)::read(stream, order, sizeof order);
    };
  }
  model::RunId submit_whole(const std::string& subdir = "") {
    return submit_on({.kind = model::WorkspaceKind::git,
                      .git = {.url = "https://h.test/a.git", .subdir = subdir, .submodules = true}});
  }
  std::vector<std::string> urls() {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> all;
    for (const auto& plan : plans_) all.push_back(plan.source.url + " " + plan.commit.substr(0, 1));
    return all;
  }
};

TEST_F(SubmoduleTest, EachIsFetchedByItselfAndPutWhereItBelongs) {
  const std::string one(40, '1'), two(40, '2');
  fetch_from({{"https://h.test/a.git", {{"a", "vendor/"}, {{"vendor", "../b.git", one}}}},
              {"https://h.test/b.git", {{"b", "deep/"}, {{"deep", "https://other.test/c", two}}}},
              {"https://other.test/c", {{"c"}, {}}}});
  const auto id = submit_whole();
  start();
  until_retired(id);
  EXPECT_EQ(cause(id), "completed");
  EXPECT_THAT(urls(), ElementsAre("https://h.test/a.git ", "https://h.test/b.git 1", "https://other.test/c 2"));
  const auto tree = trees_->path_of(run(id).workspace.tree);
  for (const auto* file : {"a", "vendor/b", "vendor/deep/c"}) EXPECT_TRUE(std::filesystem::exists(tree / file)) << file;
  EXPECT_EQ(payload(id, "workspace.prepared").at("files"), 3);
  const auto again = submit_whole();
  until_retired(again);
  EXPECT_EQ(payload(again, "workspace.prepared").at("cached"), true);
  EXPECT_EQ(urls().size(), 4u);
  EXPECT_THAT(left_in("attempts"), ElementsAre());
}

TEST_F(SubmoduleTest, OnlyThoseBelowTheSubdirAreFetched) {
  const std::string one(40, '1');
  fetch_from({{"https://h.test/a.git", {{"a", "vendor/"}, {{"lib/vendor", "../b.git", one}, {"other", "../c.git", one}}}},
              {"https://h.test/b.git", {{"b"}, {}}}});
  const auto id = submit_whole("lib");
  start();
  until_retired(id);
  EXPECT_EQ(cause(id), "completed");
  EXPECT_TRUE(std::filesystem::exists(trees_->path_of(run(id).workspace.tree) / "vendor/b"));
}

TEST_F(SubmoduleTest, WhatTheServerDoesNotAllowIsNotFetched) {
  const std::string one(40, '1');
  start();
  for (const auto* url : {"/etc", "file:///etc", "http://127.0.0.1:1/b", "../../b", "ext::sh -c id", "--upload-pack=x",
                          "https://u:p@h.test/b"}) {
    fetch_from({{"https://h.test/a.git", {{"vendor/"}, {{"vendor", url, one}}}}});
    const auto id = submit_whole();
    until_retired(id);
    EXPECT_EQ(cause(id), "workspace_failed workspace_submodule_forbidden") << url;
    EXPECT_THAT(run(id).failure->reason, HasSubstr("vendor"));
  }
  EXPECT_THAT(urls(), ::testing::Each("https://h.test/a.git "));
}

// Of a repository that anybody may have written: its submodules, and theirs, on its own server and on others.
TEST_F(SubmoduleTest, TheServersCredentialsAreOnlyForTheServerOfTheRepositoryItself) {
  config_.git.credentials = {
      {"h.test", "b2YgaA=="}, {"other.test", "b2Ygb3RoZXI="}, {"h.test:8443", "YW5vdGhlcg=="}};
  config_.git.rules.http_hosts = {"h.test"};
  const std::string one(40, '1');
  fetch_from({{"https://h.test/a.git",
               {{"a", "own/", "plain/", "port/", "other/"},
                {{"own", "../b.git", one},
                 {"plain", "http://h.test/c", one},
                 {"port", "https://h.test:8443/d", one},
                 {"other", "https://other.test/e", one}}}},
              {"https://h.test/b.git", {{"b", "in/"}, {{"in", "https://h.test/f", one}}}},
              {"https://h.test/f", {{"f"}, {}}},
              {"http://h.test/c", {{"c"}, {}}},
              {"https://h.test:8443/d", {{"d"}, {}}},
              {"https://other.test/e",
               {{"e", "back/", "beside/"}, {{"back", "https://h.test/g", one}, {"beside", "../i", one}}}},
              {"https://h.test/g", {{"g"}, {}}},
              {"https://other.test/i", {{"i"}, {}}}});
  const auto id = submit_whole();
  start();
  until_retired(id);
  EXPECT_EQ(cause(id), "completed");
  std::map<std::string, std::string> given;
  for (std::size_t i = 0; i < plans_.size(); ++i) given[plans_[i].source.url] = credentials_[i];
  EXPECT_EQ(given, (std::map<std::string, std::string>{{"https://h.test/a.git", "b2YgaA=="},
                                                       {"https://h.test/b.git", "b2YgaA=="},
                                                       {"https://h.test/f", "b2YgaA=="},
                                                       {"http://h.test/c", "none"},
                                                       {"https://h.test:8443/d", "none"},
                                                       {"https://other.test/e", "none"},
                                                       {"https://other.test/i", "none"},
                                                       {"https://h.test/g", "none"}}));
}

TEST_F(SubmoduleTest, OneThatNeedsACredentialWhichIsNotForItSaysSo) {
  config_.git.credentials = {{"other.test", "b2Ygb3RoZXI="}};
  const std::string one(40, '1');
  launcher_.fetcher = [one](int stream, int folder) {
    auto received = keeper::receive_fetch(stream);
    char order[16];
    if (received->plan.source.url != "https://h.test/a.git") {
      (void)base::write_all(stream, keeper::failed_line({"workspace_auth_failed", "401"}));
      (void)::read(stream, order, sizeof order);
      return;
    }
    (void)base::write_all(stream, keeper::resolved_line({commit, ""}));
    (void)::read(stream, order, sizeof order);
    const base::Fd tar(::openat(folder, keeper::fetch_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    (void)base::write_all(tar.get(), tar_of({"vendor/"}));
    (void)base::write_all(
        stream,
        keeper::fetched_line(std::vector<keeper::Submodule>{{"vendor", "https://other.test/b", one}}));
    (void)::read(stream, order, sizeof order);
  };
  start();
  const auto id = submit_whole();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_auth_failed");
  EXPECT_THAT(run(id).failure->reason, HasSubstr("only where it is on the server of the repository itself"));
}

TEST_F(SubmoduleTest, AFolderOfThisMachineIsOneOnlyOfAnother) {
  const auto folder = folder_.path() / "repositories";
  std::filesystem::create_directories(folder / "a.git");
  std::filesystem::create_directories(folder / "b.git");
  config_.git.rules.files.roots = {folder};
  const std::string one(40, '1'), own = "file://" + std::filesystem::canonical(folder).string();
  start();
  fetch_from({{"https://h.test/a.git", {{"vendor/"}, {{"vendor", own + "/b.git", one}}}}});
  auto id = submit_whole();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_submodule_forbidden");
  EXPECT_THAT(run(id).failure->reason, HasSubstr("may not name a folder of this one"));
  fetch_from({{own + "/a.git", {{"vendor/"}, {{"vendor", "../b.git", one}}}}, {own + "/b.git", {{"b"}, {}}}});
  id = submit_on({.kind = model::WorkspaceKind::git, .git = {.url = own + "/a.git", .submodules = true}});
  until_retired(id);
  EXPECT_EQ(cause(id), "completed");
  EXPECT_TRUE(std::filesystem::exists(trees_->path_of(run(id).workspace.tree) / "vendor/b"));
}

TEST_F(SubmoduleTest, OverSshItIsOnTheServerAndOfTheUserOfItsParent) {
  config_.git.rules.ssh_hosts = {"h.test", "other.test"};
  config_.git.ssh["h.test"].key = "a2V5IG9mIGg=";
  config_.git.ssh["other.test"].key = "a2V5IG9mIG90aGVy";
  const std::string one(40, '1');
  start();
  for (const auto* url : {"git@other.test:b", "root@h.test:b", "git@h.test:b"}) {
    fetch_from({{"https://h.test/a.git", {{"vendor/"}, {{"vendor", url, one}}}},
                {"git@h.test:a", {{"vendor/"}, {{"vendor", url, one}}}},
                {"git@h.test:b", {{"b"}, {}}}});
    auto id = submit_whole();
    until_retired(id);
    EXPECT_EQ(cause(id), "workspace_failed workspace_submodule_forbidden") << url;
    EXPECT_THAT(run(id).failure->reason, HasSubstr("others need the server's key"));
    id = submit_on({.kind = model::WorkspaceKind::git, .git = {.url = "git@h.test:a", .submodules = true}});
    until_retired(id);
    const bool own = std::string_view(url) == "git@h.test:b";
    EXPECT_EQ(cause(id), own ? "completed" : "workspace_failed workspace_submodule_forbidden") << url;
  }
  EXPECT_THAT(credentials_, Contains("a2V5IG9mIGg="));
  EXPECT_THAT(credentials_, Not(Contains("a2V5IG9mIG90aGVy")));
}

TEST_F(SubmoduleTest, OneThatIsNotThereFailsTheRun) {
  const std::string one(40, '1');
  start();
  fetch_from({{"https://h.test/a.git", {{"vendor/"}, {{"vendor", "../gone.git", one}}}}});
  auto id = submit_whole();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_unavailable");
  EXPECT_THAT(run(id).failure->reason, HasSubstr("submodule vendor: nothing there"));
  fetch_from({{"https://h.test/a.git", {{"vendor/"}, {{"vendor", "", one}}}}});
  id = submit_whole();
  until_retired(id);
  EXPECT_THAT(run(id).failure->reason, HasSubstr("names no URL for vendor"));
}

TEST_F(SubmoduleTest, TooManyAndTooDeepOnesAreTooLarge) {
  const std::string one(40, '1');
  start();
  fetch_from({{"https://h.test/a.git", {{"in/"}, {{"in", "../a.git", one}}}}});
  auto id = submit_whole();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_too_large");
  EXPECT_EQ(urls().size(), 9u);  // itself, and eight in one another
}

TEST_F(SubmoduleTest, APathThatIsNoFolderOfTheTreeIsRefused) {
  const std::string one(40, '1');
  start();
  for (const auto* path : {"../outside", "missing", "a", "/etc"}) {
    fetch_from({{"https://h.test/a.git", {{"a"}, {{path, "../b.git", one}}}}, {"https://h.test/b.git", {{"b"}, {}}}});
    const auto id = submit_whole();
    until_retired(id);
    EXPECT_EQ(cause(id), "workspace_failed workspace_unavailable") << path;
  }
}

TEST_F(TreeTest, AFetcherWhoseLauncherDiesIsStartedAgainInAnotherAttempt) {
  fetch_well();
  launcher_.lost = 1;
  const auto id = submit_git();
  start();
  until_retired(id);
  EXPECT_EQ(cause(id), "completed");
  ASSERT_EQ(launcher_.requests.size(), 3u);
  EXPECT_NE(launcher_.requests[0].attempt, launcher_.requests[1].attempt);
}

TEST_F(TreeTest, WhatCannotBeFetchedIsTheCauseOfTheFailure) {
  start();
  for (const char* why :
       {"workspace_auth_failed", "workspace_ref_not_found", "workspace_too_large", "workspace_timeout"}) {
    fetch_badly(why);
    const auto id = submit_git();
    until_retired(id);
    EXPECT_EQ(cause(id), std::string("workspace_failed ") + why);
    EXPECT_THAT(run(id).failure->reason, HasSubstr("no good"));
    EXPECT_THAT(types(id), Contains("workspace.preparing"));
    EXPECT_THAT(types(id), Not(Contains("workspace.prepared")));
  }
}

TEST_F(TreeTest, WhatARemoteSaysIsToldWithoutSecretsAndPrintable) {
  const std::string_view token = "ghp_cloneTokenOfTheServer0123";
  base::hide_in_logs(base::Redactor(std::vector{token}, base::system_entropy()));
  launcher_.fetcher = [token](int stream, int) {
    (void)keeper::receive_fetch(stream);
    const auto said = "remote: \x1b[2J" + std::string(token) + std::string(20'000, 'x');
    (void)base::write_all(stream, keeper::failed_line({"workspace_unavailable", said}));
    char order[16];
    (void)::read(stream, order, sizeof order);
  };
  start();
  const auto id = submit_git();
  until_retired(id);
  base::hide_in_logs(base::Redactor());
  EXPECT_THAT(run(id).failure->reason, HasSubstr("remote:  [2J[REDACTED]x"));
  EXPECT_LE(run(id).failure->reason.size(), base::shown_bytes);
}

TEST_F(TreeTest, AFetcherThatBreaksDownOrTalksNonsenseFailsTheRun) {
  start();
  launcher_.fetcher = [](int stream, int) { (void)keeper::receive_fetch(stream); };
  auto id = submit_git();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_unavailable");
  launcher_.fetcher = [](int stream, int) {
    (void)keeper::receive_fetch(stream);
    (void)base::write_all(stream, "nonsense\n");
    char order[16];
    (void)::read(stream, order, sizeof order);
  };
  id = submit_git();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_unavailable");
}

TEST_F(TreeTest, CancellingWhileItIsFetchedEndsTheFetcherAndTheRun) {
  std::atomic<bool> ended = false;
  launcher_.fetcher = [&ended](int stream, int) {
    (void)keeper::receive_fetch(stream);
    char order[16];
    ended = ::read(stream, order, sizeof order) == 0;  // waits until the worker leaves
  };
  const auto id = submit_git();
  start();
  until_event(id, "workspace.preparing");
  until([&] { return launcher_.launches > 0; });
  cancel(id);
  until_retired(id);
  EXPECT_EQ(cause(id), "cancelled");
  until([&] { return ended.load(); });
}

TEST_F(TreeTest, UploadsWhoseTimeIsOverAreForgottenAndTheirTreesMakeRoom) {
  trees_ = base::value_or_throw(workspace::Trees::open(folder_ / "trees", {.max_bytes = 1}, entropy_));
  make_tree("upload-1-a");
  put_upload("upload-1-a", clock_.now() + 1h);
  start();
  until_quiet();
  EXPECT_TRUE(trees_->find("upload-1-a"));
  stop();
  clock_.advance(1h);
  start();
  until([&] { return !trees_->find("upload-1-a"); });
  EXPECT_FALSE(read([](store::Reader& reader) { return reader.upload("upload_1"); }));
}

}  // namespace
}  // namespace agentrouter::worker
