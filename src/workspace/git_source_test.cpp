#include "workspace/git_source.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "workspace/overlay_test.h"

namespace agentrouter::workspace {
namespace {

class GitUrls : public OverlayTest {
 protected:
  GitUrls() {
    rules_.http_hosts = {"127.0.0.1:8080", "git.test"};
    rules_.files.roots = {base()};
    fs::create_directories(base() / "repo.git");
    fs::create_directories(root / "elsewhere");
    fs::create_directory_symlink(root / "elsewhere", base() / "way-out");
  }
  std::string refusal(const std::string& url) const {
    const auto admitted = admit_git_url(url, rules_);
    return admitted ? "admitted" : admitted.error().reason;
  }

  GitRules rules_;
};

TEST_F(GitUrls, HttpsGoesAnywhereUnlessHostsAreListed) {
  EXPECT_EQ(admit_git_url("https://example.test/a/b.git", rules_).value(), "https://example.test/a/b.git");
  EXPECT_EQ(refusal("https://example.test:8443/a"), "admitted");
  rules_.https_hosts = {"example.test"};
  EXPECT_EQ(refusal("https://example.test/a"), "admitted");
  EXPECT_EQ(refusal("https://other.test/a"), "workspace_forbidden");
  EXPECT_EQ(refusal("https://example.test:444/a"), "workspace_forbidden");
}

TEST_F(GitUrls, PlainHttpGoesOnlyToListedHosts) {
  EXPECT_EQ(refusal("http://127.0.0.1:8080/a.git"), "admitted");
  EXPECT_EQ(refusal("http://git.test/a.git"), "admitted");
  EXPECT_EQ(refusal("http://127.0.0.1:8081/a.git"), "workspace_forbidden");
  EXPECT_EQ(refusal("http://git.test.evil.test/a.git"), "workspace_forbidden");
  EXPECT_EQ(refusal("http://169.254.169.254/latest"), "workspace_forbidden");
}

TEST_F(GitUrls, FilesAreBelowTheirRootsWhereverLinksLead) {
  const auto url = "file://" + (base() / "repo.git").string();
  EXPECT_EQ(admit_git_url(url, rules_).value(), "file://" + fs::canonical(base() / "repo.git").string());
  EXPECT_EQ(refusal("file://" + (root / "elsewhere").string()), "workspace_forbidden");
  EXPECT_EQ(refusal("file://" + (base() / "way-out").string()), "workspace_forbidden");
  EXPECT_EQ(refusal("file://" + (base() / "../elsewhere").string()), "workspace_forbidden");
  EXPECT_EQ(refusal("file:///etc"), "workspace_forbidden");
  EXPECT_EQ(refusal("file://relative"), "workspace_forbidden");
  EXPECT_EQ(refusal("file://" + (base() / "nothing").string()), "workspace_not_found");
}

TEST_F(GitUrls, WhatIsNoPlainAddressIsRefused) {
  for (const std::string& url : std::vector<std::string>{"--upload-pack=touch x",
                                                         "-u",
                                                         "ext::sh -c touch%20x",
                                                         "ext::x",
                                                         "fd::3",
                                                         "https://user:token@h.test/a",
                                                         "https://token@h.test/a",
                                                         "https://h.test",
                                                         "https://h.test/",
                                                         "https:///a",
                                                         "https://h.test/../a",
                                                         "https://h.test/a/./b",
                                                         "https://h.test//a",
                                                         "https://h.test/a?x=1",
                                                         "https://h.test/a#x",
                                                         "https://h.test/a b",
                                                         "https://h.test/a\nb",
                                                         "https://h.test/a\\b",
                                                         "https://h.test/\"",
                                                         "https://-h/a",
                                                         "https://H.test/a",
                                                         "ftp://h.test/a",
                                                         "git://h.test/a",
                                                         "/srv/repo",
                                                         "repo",
                                                         "",
                                                         "https://h.test/a::b",
                                                         "https://[::1]/a::b",
                                                         "https://h.test:99999/a",
                                                         "https://h.test:65536/a",
                                                         "https://h.test:0/a",
                                                         "https://h.test:/a",
                                                         "https://h.test:x/a",
                                                         "https://h.test:1:2/a",
                                                         "https://[::1]:99999/a",
                                                         "http::https://h.test/a"}) {
    EXPECT_EQ(refusal(url), "workspace_forbidden") << url;
  }
  EXPECT_EQ(refusal("https://h.test/" + std::string(2048, 'a')), "workspace_forbidden");
}

TEST_F(GitUrls, AnAddressInBracketsIsAHost) {
  for (const auto* url :
       {"https://[2001:db8::1]/a", "https://[::1]/a", "https://[::1]:8443/a", "https://h.test:65535/a"})
    EXPECT_EQ(refusal(url), "admitted") << url;
  EXPECT_EQ(refusal("http://[::1]/a"), "workspace_forbidden");
  rules_.http_hosts = {"[::1]"};
  EXPECT_EQ(refusal("http://[::1]/a"), "admitted");
}

TEST_F(GitUrls, SshIsNotSupported) {
  EXPECT_EQ(refusal("ssh://git@h.test/a"), "workspace_forbidden");
  EXPECT_EQ(refusal("git@h.test:a/b.git"), "workspace_forbidden");
}

TEST(GitParts, RefsAreNamesAndNothingElse) {
  for (const char* ref : {"main", "feature/x", "v1.0", "refs/heads/main", "refs/pull/1/head", "a@b",
                          "\xc3\xbc", "0123456789012345678901234567890123456789"})
    EXPECT_TRUE(is_git_ref(ref)) << ref;
  for (const char* ref : {"",         "-x",   "--upload-pack=x",
                          "a..b",     "a b",  "a~1",
                          "a^",       "a:b",  "a?",
                          "a*",       "a[",   "a\\b",
                          "/a",       "a/",   "a//b",
                          ".a",       "a/.b", "a.lock",
                          "a.lock/b", "a.",   "@",
                          "a@{1}",    "a\tb", "a\x7f",
                          "a/-b",     "\"a\""})
    EXPECT_FALSE(is_git_ref(ref)) << ref;
  EXPECT_FALSE(is_git_ref(std::string(256, 'a')));
}

TEST(GitParts, SubdirsAreRelativeAndStayInside) {
  for (const char* path : {"lib", "lib/core", "a b", "\xc3\xbc/x"}) EXPECT_TRUE(is_git_subdir(path)) << path;
  for (const char* path :
       {"", "/lib", "lib/", "..", "a/../b", "./a", "a//b", "-a", "a:b", "a\nb", ".git", ".git/x"})
    EXPECT_FALSE(is_git_subdir(path)) << path;
}

TEST(GitParts, HostsAreThoseOfCredentials) {
  EXPECT_EQ(host_of_git_url("https://example.test/a"), "example.test");
  EXPECT_EQ(host_of_git_url("http://127.0.0.1:80/a"), "127.0.0.1:80");
  EXPECT_EQ(host_of_git_url("file:///srv/a"), "");
}

TEST(SubmoduleUrls, RelativeOnesStayOnTheServerOfTheirParent) {
  const std::vector<std::array<const char*, 3>> cases{
      {"https://h.test/team/a.git", "../b.git", "https://h.test/team/b.git"},
      {"https://h.test/team/a.git/", "../../other/b", "https://h.test/other/b"},
      {"https://h.test/a.git", "./b", "https://h.test/a.git/b"},
      {"http://127.0.0.1:8080/a", "../b", "http://127.0.0.1:8080/b"},
      {"file:///srv/a", "../b", "file:///srv/b"},
      {"ssh://git@h.test:2222/team/a.git", "../b.git", "ssh://git@h.test:2222/team/b.git"},
      {"git@h.test:team/a.git", "../b.git", "git@h.test:team/b.git"},
      {"git@h.test:a.git", "../b.git", "git@h.test:b.git"},
      {"git@h.test:/srv/a", "../../b", "git@h.test:/b"},
      {"https://h.test/a", "https://other.test/b", "https://other.test/b"},
      {"https://h.test/a", "/etc", "/etc"}};
  for (const auto& [parent, url, whole] : cases) EXPECT_EQ(submodule_url(parent, url).value(), whole) << url;
  for (const auto* url : {"../../b", "../../../h.test/b", "../.././../x"})
    EXPECT_FALSE(submodule_url("https://h.test/a", url)) << url;
}

TEST(GitServers, AreTheSameByTransportHostPortAndUser) {
  const std::vector<std::array<const char*, 2>> same{{"https://h.test/a", "https://h.test/b/c"},
                                                     {"https://h.test:8443/a", "https://h.test:8443/b"},
                                                     {"file:///srv/a", "file:///other/b"},
                                                     {"ssh://git@h.test/a", "git@h.test:b"},
                                                     {"ssh://git@h.test:22/a", "git@h.test:b"}};
  for (const auto& [one, other] : same) EXPECT_TRUE(is_same_git_server(one, other)) << one << " " << other;
  const std::vector<std::array<const char*, 2>> others{{"https://h.test/a", "https://h.test.evil.test/a"},
                                                       {"https://h.test/a", "http://h.test/a"},
                                                       {"https://h.test/a", "https://h.test:8443/a"},
                                                       {"https://h.test/a", "ssh://git@h.test/a"},
                                                       {"https://h.test/a", "git@h.test:a"},
                                                       {"https://h.test/a", "file:///h.test/a"},
                                                       {"git@h.test:a", "root@h.test:a"},
                                                       {"git@h.test:a", "ssh://git@h.test:2222/a"}};
  for (const auto& [one, other] : others) {
    EXPECT_FALSE(is_same_git_server(one, other)) << one << " " << other;
    EXPECT_FALSE(is_same_git_server(other, one)) << one << " " << other;
  }
}

TEST_F(GitUrls, WhatASubmoduleNamesIsJudgedLikeAnyOther) {
  for (const auto* url :
       {"../..", "--upload-pack=x", "ext::sh", "/etc", "file:///etc", "http://10.0.0.1/x"}) {
    const auto whole = submodule_url("https://h.test/a", url);
    EXPECT_EQ(whole ? refusal(*whole) : "workspace_forbidden", "workspace_forbidden") << url;
  }
}

TEST_F(GitUrls, SshGoesOnlyToHostsThatTheServerHasAKeyFor) {
  rules_.ssh_hosts = {"h.test", "h.test:2222"};
  for (const auto* url : {"ssh://git@h.test/team/a.git", "ssh://git@h.test:2222/a", "ssh://git@h.test/~me/a",
                          "git@h.test:team/a.git", "git@h.test:/srv/a"})
    EXPECT_EQ(admit_git_url(url, rules_).value_or("refused"), url);
  for (const auto* url :
       {"ssh://git@other.test/a", "ssh://git@h.test:22x/a", "ssh://git@h.test:2223/a", "ssh://h.test/a",
        "ssh://-x@h.test/a", "ssh://git@-h.test/a", "git@h.test:-a", "git@h.test:../a",
        "git@h.test:", "ssh://git@h.test", "ssh://git@h.test/", "git@h.test:a'b", "ssh://git:pw@h.test/a",
        "git@h.test", "ssh://git@h.test/a/../b", "ssh://git@H.test/a", "ssh://git@[::1]/a"})
    EXPECT_EQ(refusal(url), "workspace_forbidden") << url;
  EXPECT_EQ(host_of_git_url("ssh://git@h.test:2222/a"), "h.test:2222");
  EXPECT_EQ(host_of_git_url("git@h.test:a"), "h.test");
}

TEST(SshAddresses, HaveThePathThatTheServerIsGiven) {
  const auto path = [](const char* url) { return ssh_address(url)->path; };
  EXPECT_EQ(path("ssh://git@h.test/srv/a.git"), "/srv/a.git");
  EXPECT_EQ(path("ssh://git@h.test/~me/a.git"), "~me/a.git");
  EXPECT_EQ(path("git@h.test:team/a.git"), "team/a.git");
  EXPECT_EQ(ssh_address("ssh://git@h.test:2222/a")->port, 2222);
  EXPECT_FALSE(ssh_address("https://h.test/a"));
  EXPECT_FALSE(ssh_address("file:///srv/a@b"));
}

TEST_F(GitUrls, NamedHostsAreThoseOfTheLists) {
  rules_.https_hosts = {"git.internal:8443"};
  EXPECT_TRUE(is_named_host("https://git.internal:8443/a", rules_));
  EXPECT_TRUE(is_named_host("http://git.test/a", rules_));
  EXPECT_FALSE(is_named_host("https://git.internal/a", rules_));
  EXPECT_FALSE(is_named_host("https://example.test/a", rules_));
}

}  // namespace
}  // namespace agentrouter::workspace
