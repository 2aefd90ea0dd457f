#include <random>

#include "workspace/collector.h"
#include "workspace/overlay_test.h"

namespace agentrouter::workspace {
namespace {

// Random trees under random hands; git says what came out of it.
class CollectorProperty : public OverlayTest {
 protected:
  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); }

  std::string name() {
    static const std::vector<std::string> names{"a",   "b",      "c.txt", "c.log", "d.o",  "sp ace", "e\xff",
                                                "ü",   "q\"q",   "A",     "build", "x",    "x.d",    "x-d",
                                                "sub", "vendor", "f",     "g.sh",  "n\nl", "z"};
    return names[below(names.size())];
  }
  std::string path() {
    std::string out = name();
    for (auto depth = below(4); depth > 0; --depth) out += "/" + name();
    return out;
  }
  std::string text() {
    static const std::vector<std::string> lines{
        "a\n", "b\n", "\n", "}\n", "crlf\r\n", " x\n", "longer line of text\n"};
    std::string out;
    for (auto n = below(40); n > 0; --n) out += lines[below(lines.size())];
    if (below(5) == 0) out += "no end";
    if (below(12) == 0) out += std::string("\0bin", 4);
    return out;
  }
  std::string ignore_text() {
    static const std::vector<std::string> lines{"*.log\n",   "!c.log\n",    "build/\n", "/x\n",
                                                "sub/*.o\n", "**/vendor\n", "*.o\n",    "x.d\n",
                                                "!d.o\n",    "sub/**/a\n",  "[ab]\n",   "vendor/**\n"};
    std::string out;
    for (auto n = below(4); n > 0; --n) out += lines[below(lines.size())];
    return out;
  }
  // True when something else than a folder stands on the way to `path`.
  static bool is_blocked(const fs::path& path) {
    fs::path at;
    for (const auto& part : path.parent_path()) {
      at /= part;
      const auto status = fs::symlink_status(at);
      if (fs::exists(status) && !fs::is_directory(status)) return true;
    }
    return false;
  }
  void put(const fs::path& target) {
    if (is_blocked(target)) return;
    const auto status = fs::symlink_status(target);
    if (fs::is_directory(status)) return;
    if (below(8) == 0) {
      if (target.has_parent_path()) fs::create_directories(target.parent_path());
      fs::remove(target);
      fs::create_symlink("to " + std::to_string(below(3)), target);
      return;
    }
    if (fs::is_symlink(status)) fs::remove(target);
    write_text(target, text());
    if (below(6) == 0) ::chmod(target.c_str(), 0755);
  }
  std::vector<fs::path> all() {
    std::vector<fs::path> found;
    for (auto it = fs::recursive_directory_iterator("."); it != fs::recursive_directory_iterator(); ++it) {
      if (it->path().filename() == ".git") {
        it.disable_recursion_pending();
      } else {
        found.push_back(it->path().lexically_normal());
      }
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  void step() {
    const auto paths = all();
    const auto any = paths.empty() ? fs::path("a") : paths[below(paths.size())];
    std::error_code ignored;
    switch (below(10)) {
      case 0:
        fs::remove_all(any);
        break;
      case 1:
        fs::remove(any, ignored);
        break;
      case 2:
        if (fs::is_regular_file(fs::symlink_status(any))) ::chmod(any.c_str(), below(2) ? 0755 : 0644);
        break;
      case 3:
        if (const fs::path to = path(); !is_blocked(to)) {
          if (to.has_parent_path()) fs::create_directories(to.parent_path(), ignored);
          fs::rename(any, to, ignored);
        }
        break;
      case 4:
        if (fs::is_regular_file(fs::symlink_status(any))) append_text(any, text());
        break;
      case 5:
        fs::remove_all(any);
        fs::create_directories(any, ignored);
        break;
      case 6:
        write_text((fs::is_directory(fs::symlink_status(any)) ? any : any.parent_path()) / ".gitignore",
                   ignore_text());
        break;
      default:
        put(path());
    }
  }
  // What `git status` said, in the order and the form of the index.
  std::string index_of_git() const {
    std::vector<std::string> entries;
    std::stringstream status(read_text(root / "agents-status"));
    for (std::string one; std::getline(status, one, '\0');) entries.push_back(one);
    std::sort(entries.begin(), entries.end(),
              [](const std::string& a, const std::string& b) { return a.substr(3) < b.substr(3); });
    std::string lines;
    for (auto& one : entries) {
      for (std::size_t at; (at = one.find('\xff')) != std::string::npos;) one.replace(at, 1, "\\xff");
      lines += one + "\n";
    }
    return lines;
  }

  void make_base(unsigned seed) {
    random.seed(seed);
    for (const auto& layer : kept_) {
      (void)shell("chmod -R u+rwx " + layer.string());
      fs::remove_all(layer);
    }
    kept_.clear();
    for (const auto* folder : {"base", "upper", "work", "merged"}) {
      (void)shell("chmod -R u+rwx " + (root / folder).string());
      fs::remove_all(root / folder);
      fs::create_directories(root / folder);
    }
    {
      const auto here = fs::current_path();
      fs::current_path(base());
      for (auto n = below(40); n > 0; --n) put(path());
      if (below(2)) write_text(fs::path(".gitignore"), ignore_text());
      fs::current_path(here);
    }
    // Ignored files of the base are tracked all the same, or are not there: otherwise an agent that takes a
    // pattern away makes git call them new, while they are no change against the base.
    commit_base(below(2) ? "-f" : "");
    ASSERT_EQ(0, shell("cd " + base().string() + " && " + git() + "clean -fdXq"));
  }

  std::mt19937 random;
};

TEST_F(CollectorProperty, PatchedCloneEqualsTheAgentsTree) {
  for (unsigned seed = 1; seed <= 8 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    make_base(seed);
    run_agent([&] {
      for (auto n = 1 + below(30); n > 0; --n) step();
    });
    expect_faithful();
    EXPECT_EQ(index_of_git(), index());
  }
}

TEST_F(CollectorProperty, PatchedCloneEqualsTheTreeOfManyTurnsInLayersOfTheirOwn) {
  for (unsigned seed = 101; seed <= 106 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    make_base(seed);
    for (int turn = 0; turn < 4 && !HasFailure(); ++turn) {
      if (turn > 0) keep_layer();
      // The steps of this turn; the agent's process has a copy of the generator.
      const auto steps = 1 + below(12);
      const auto start = below(1u << 30);
      run_agent([&] {
        random.seed(start);
        for (auto n = steps; n > 0; --n) step();
      });
      expect_faithful();
      EXPECT_EQ(index_of_git(), index());
    }
  }
}

}  // namespace
}  // namespace agentrouter::workspace
