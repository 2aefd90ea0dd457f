#pragma once
// For the tests of checkpoints: an overlay and a home that an "agent" changes, and a second, fresh pair on
// the same base.

#include "workspace/archive.h"
#include "workspace/checkpoint.h"
#include "workspace/overlay_test.h"

namespace agentrouter::workspace {

class CheckpointTest : public OverlayTest {
 protected:
  CheckpointTest() {
    fs::create_directories(home());
    fs::create_directories(outside());
  }

  fs::path home() const { return root / "home"; }
  fs::path outside() const { return root / "outside"; }
  fs::path archive() const { return root / "checkpoint"; }

  // Everything that a checkpoint promises to keep of the folder `place`, one line for each path.
  static std::string describe(const std::string& place) {
    const std::string out = place + ".list";
    const auto status =
        shell("cd " + place +
              R"( && { find . -printf '%p|%y|%m|%T@|%l|%n|' \( -type f -exec sha256sum -b {} \; )"
              R"( -o -type d -printf '\n' -o -printf '\n' \); } | sed 's/|[0-9]*|$/|/' )"
              R"(| LC_ALL=C sort > )" +
              out);
    return status == 0 ? read_text(out) : "cannot describe " + place;
  }

  // Runs `agent` in the merged tree and keeps how it looks then.
  void first_turn(const std::function<void()>& agent) {
    run_agent([&] {
      agent();
      write_text(root / "before", describe((root / "merged").string()));
    });
    ASSERT_NE("", read_text(root / "before"));
  }

  base::Result<CheckpointReport> checkpoint(const CheckpointLimits& limits = {},
                                            const std::vector<std::string>& left_out = {}) {
    const base::Fd home_fd(::open(home().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const base::Fd out(::open(archive().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    return write_checkpoint({stack(), Stack::of({home_fd.get()}), out.get()}, left_out, limits);
  }

  // A fresh overlay on the same base, and an empty home.
  void start_afresh() {
    fs::rename(root / "upper", root / "first-upper");
    fs::rename(home(), root / "first-home");
    fs::rename(root / "work", root / "first-work");
    kept_.clear();
    for (const auto* folder : {"upper", "work", "home"}) fs::create_directories(root / folder);
  }

  // Restores through the merged tree, then runs `look` in it. Returns the error's message or "".
  std::string restore(const CheckpointLimits& limits = {}, const std::function<void()>& look = [] {}) {
    fs::remove(root / "said");
    run_agent([&] {
      const base::Fd in(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
      const base::Fd merged(::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      const base::Fd home_fd(::open(home().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      const auto restored = restore_checkpoint({in.get(), merged.get(), home_fd.get()}, limits);
      write_text(root / "after", describe((root / "merged").string()));
      look();
      write_text(root / "said", restored ? "" : restored.error().message);
    });
    return read_text(root / "said");
  }

  // What stands in a hostile archive.
  struct Planted {
    ArchiveEntry::Kind kind;
    std::string path;
    std::string target = {};
    std::string content = {};
  };
  void plant(const std::vector<Planted>& all) {
    const base::Fd out(::open(archive().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    Sink sink(out.get(), 1 << 20);
    ArchiveWriter writer(sink);
    for (const auto& one : all) {
      ASSERT_TRUE(writer.begin({one.kind, one.path, one.target, 0777, {}, one.content.size()}));
      ASSERT_TRUE(writer.write(one.content));
    }
    ASSERT_TRUE(writer.finish());
  }
};

}  // namespace agentrouter::workspace
