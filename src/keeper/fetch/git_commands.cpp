#include "keeper/fetch/git_commands.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "net/url.h"
#include "sandbox/plan.h"

namespace agentrouter::keeper {

namespace {

constexpr const char* git = "/usr/bin/git";
constexpr std::string_view peeled = "^{}";

bool is_ssh(const model::GitSource& source) {
  return FetchPlan{.source = source}.is_over_ssh();
}

// Where the sandbox finds it.
std::string inner_address(const model::GitSource& source) {
  if (source.url.starts_with("file://")) return std::string("file://") + sandbox::workspace_path;
  if (is_ssh(source)) return "ssh://gate/repository";
  const auto url = net::parse_url(source.url);
  std::string path = url ? url->path : "/";
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return std::string("http://") + sandbox::provider_address + path;
}

Argv in_tree(Argv rest) {
  Argv argv{git, "-C", git_tree_path};
  argv.insert(argv.end(), rest.begin(), rest.end());
  return argv;
}

Argv fetch(const model::GitSource& source, const std::string& what) {
  Argv argv{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head"};
  if (source.depth > 0) {
    argv.emplace_back("--depth");
    argv.push_back(std::to_string(source.depth));
  }
  argv.emplace_back("origin");
  argv.push_back(what);
  return in_tree(std::move(argv));
}

std::string full_tag(std::string_view ref) {
  return "refs/tags/" + std::string(ref);
}

}  // namespace

std::string git_config(const model::GitSource& source) {
  const bool local = source.url.starts_with("file://");
  return std::string("[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tattributesFile = /dev/null\n") +
         "\tlogAllRefUpdates = false\n\tautocrlf = false\n" +
         "[init]\n\ttemplateDir =\n[credential]\n\thelper =\n" +
         "[safe]\n\tdirectory = *\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n" +
         "[submodule]\n\trecurse = false\n[advice]\n\tdetachedHead = false\n" +
         "[http]\n\tfollowRedirects = false\n\tproxy =\n" + "[protocol]\n\tallow = never\n\tversion = 2\n" +
         "[protocol \"" +
         (local            ? "file"
          : is_ssh(source) ? "ssh"
                           : "http") +
         "\"]\n\tallow = always\n" + "[url \"" + inner_address(source) + "\"]\n\tinsteadOf = \"" +
         source.url + "\"\n";
}

std::vector<std::string> git_environment() {
  auto environment = sandbox::base_environment();
  for (const char* more :
       {"GIT_CONFIG_NOSYSTEM=1", "GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false",
        "GIT_LFS_SKIP_SMUDGE=1", "GIT_PROTOCOL_FROM_USER=0", "GIT_NO_REPLACE_OBJECTS=1"})
    environment.emplace_back(more);
  environment.push_back(std::string("GIT_CONFIG_GLOBAL=") + git_config_path);
  environment.push_back(std::string("GIT_SSH_COMMAND=/bin/bash ") + git_ssh_path);
  environment.emplace_back("GIT_SSH_VARIANT=simple");
  return environment;
}

std::string git_ssh_script() {
  const std::string listener = std::string("/dev/tcp/") + sandbox::provider_address + "/80";
  return "exec 3<>" + listener + " 4<&0 || exit 1\ncat <&4 >&3 &\ncat <&3\nkill $! 2>/dev/null\n";
}

Argv list_refs(const model::GitSource& source) {
  Argv argv{git, "ls-remote", "--symref", "--quiet", "--", source.url};
  if (source.ref.empty()) {
    argv.emplace_back("HEAD");
  } else if (source.ref.starts_with("refs/")) {
    argv.push_back(source.ref);
    argv.push_back(source.ref + std::string(peeled));
  } else {
    for (const auto& ref :
         {"refs/heads/" + source.ref, full_tag(source.ref), full_tag(source.ref) + std::string(peeled)})
      argv.push_back(ref);
  }
  return argv;
}

std::optional<ResolvedRef> find_ref(std::string_view listed, std::string_view ref) {
  std::map<std::string, std::string, std::less<>> commits;
  std::string head_branch;
  constexpr std::string_view branches = "refs/heads/";
  while (!listed.empty()) {
    const auto line = listed.substr(0, listed.find('\n'));
    listed.remove_prefix(std::min(line.size() + 1, listed.size()));
    const auto tab = line.find('\t');
    if (tab == std::string_view::npos) continue;
    const auto what = line.substr(0, tab);
    const auto name = line.substr(tab + 1);
    if (is_commit(what)) commits.emplace(name, what);
    if (name == "HEAD" && what.starts_with("ref: refs/heads/"))
      head_branch = what.substr(std::string_view("ref: refs/heads/").size());
  }
  const auto commit_of = [&](const std::string& name) -> std::string {
    if (const auto found = commits.find(name + std::string(peeled)); found != commits.end())
      return found->second;
    const auto found = commits.find(name);
    return found == commits.end() ? std::string() : found->second;
  };
  const auto at = [&](const std::string& name, std::string branch) -> std::optional<ResolvedRef> {
    auto commit = commit_of(name);
    if (commit.empty()) return std::nullopt;
    return ResolvedRef{std::move(commit), std::move(branch)};
  };
  if (ref.empty()) return at("HEAD", head_branch);
  if (ref.starts_with(branches)) return at(std::string(ref), std::string(ref.substr(branches.size())));
  if (ref.starts_with("refs/")) return at(std::string(ref), {});
  if (auto branch = at("refs/heads/" + std::string(ref), std::string(ref))) return branch;
  return at(full_tag(ref), {});
}

std::vector<Argv> make_repository(const model::GitSource& source, const ResolvedRef& at) {
  const std::string branch = at.branch.empty() ? "main" : at.branch;
  return {{git, "init", "--quiet", "--template=", "--initial-branch=" + branch, git_tree_path},
          in_tree({"remote", "add", "origin", source.url})};
}

Argv fetch_ref(const model::GitSource& source, const ResolvedRef& at) {
  if (!at.branch.empty())
    return fetch(source, "+refs/heads/" + at.branch + ":refs/remotes/origin/" + at.branch);
  if (source.ref.empty() || is_commit(source.ref)) return fetch_commit(source, at);
  const auto name = source.ref.starts_with("refs/") ? source.ref : full_tag(source.ref);
  return fetch(source, "+" + name + ":" + (name.starts_with("refs/tags/") ? name : "refs/fetched/head"));
}

Argv fetch_commit(const model::GitSource& source, const ResolvedRef& at) {
  return fetch(source, at.commit);
}

Argv fetch_everything() {
  return in_tree({"fetch", "--quiet", "--no-write-fetch-head", "origin",
                  "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"});
}

Argv look_for(const std::string& object) {
  return in_tree({"cat-file", "-t", object});
}

Argv list_files(const ResolvedRef& at) {
  return in_tree({"ls-tree", "-r", "-l", "-z", "--full-tree", at.commit});
}

std::vector<Argv> check_out(const model::GitSource& source, const ResolvedRef& at) {
  std::vector<Argv> steps;
  if (source.submodules) steps.push_back(in_tree({"config", "submodule.active", "."}));
  if (at.branch.empty()) {
    steps.push_back(in_tree({"checkout", "--quiet", "--detach", at.commit}));
    return steps;
  }
  steps.push_back(in_tree({"checkout", "--quiet", "-B", at.branch, at.commit}));
  steps.push_back(in_tree({"config", "branch." + at.branch + ".remote", "origin"}));
  steps.push_back(in_tree({"config", "branch." + at.branch + ".merge", "refs/heads/" + at.branch}));
  return steps;
}

Argv read_modules(const ResolvedRef& at) {
  return in_tree({"config", "-z", "--blob", at.commit + ":.gitmodules", "--get-regexp",
                  "^submodule\\..*\\.(path|url)$"});
}

void LinkList::feed(std::string_view piece) {
  constexpr std::size_t most_line = 8192;
  for (const char c : piece) {
    if (c == '\0') {
      take();
      line_.clear();
    } else if (line_.size() < most_line) {
      line_ += c;
    }
  }
}

// "160000 commit <commit>       -\t<path>"
void LinkList::take() {
  constexpr std::string_view begin = "160000 commit ";
  const auto tab = line_.find('\t');
  if (!line_.starts_with(begin) || tab == std::string::npos) return;
  const auto commit = line_.substr(begin.size(), 40);
  if (is_commit(commit)) links_.push_back({line_.substr(tab + 1), {}, commit});
}

std::vector<Submodule> join_submodules(std::vector<Submodule> links, std::string_view modules) {
  std::map<std::string, std::pair<std::string, std::string>, std::less<>> named;  // path and URL by name
  while (!modules.empty()) {
    const auto entry = modules.substr(0, modules.find('\0'));
    modules.remove_prefix(std::min(entry.size() + 1, modules.size()));
    const auto key = entry.substr(0, entry.find('\n'));
    if (key.size() == entry.size()) continue;
    const auto value = entry.substr(key.size() + 1);
    const auto dot = key.rfind('.');
    auto& [path, url] = named[std::string(key.substr(0, dot))];
    (key.substr(dot + 1) == "path" ? path : url) = value;
  }
  for (auto& link : links) {
    for (const auto& [name, module] : named) {
      if (module.first == link.path) link.url = module.second;
    }
  }
  return links;
}

Argv pack_tree(const model::GitSource& source) {
  const std::string folder =
      source.subdir.empty() ? git_tree_path : std::string(git_tree_path) + "/" + source.subdir;
  return {"/usr/bin/tar", "--format=gnu", "-C", folder, "-cf", "-", "."};
}

void CheckoutSize::feed(std::string_view piece) {
  for (const char c : piece) {
    if (c == '\0') {
      line_.clear();
      in_path_ = false;
    } else if (in_path_) {
      continue;
    } else if (c == '\t') {
      in_path_ = true;
      ++entries_;
      std::uint64_t size = 0;
      const auto blank = line_.rfind(' ');
      const char* const begin = line_.data() + (blank == std::string::npos ? 0 : blank + 1);
      std::from_chars(begin, line_.data() + line_.size(), size);
      bytes_ += std::min<std::uint64_t>(size, 1ull << 50);
    } else if (line_.size() < 200) {
      line_ += c;
    }
  }
}

}  // namespace agentrouter::keeper
