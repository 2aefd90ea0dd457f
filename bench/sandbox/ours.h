#pragma once
// The process driver, timed from the call to the first instruction of a program inside.

#include <filesystem>
#include <optional>
#include <string>

#include "base/fd.h"
#include "sandbox/warm.h"

namespace agentrouter::bench {

// `limits`: with groups; `warm`: too, in a box that was made before (make_ready).
enum class Groups { none, limits, warm };

// A sandbox in which the stamp program waits, ended by the destructor.
class Held {
 public:
  Held(Held&&) = default;
  Held& operator=(Held&&) = delete;
  ~Held();

  double started_ms = 0;  // when the program inside did its first thing
  double ready_ms = 0;    // when init had built everything
  [[nodiscard]] pid_t init() const { return init_.process.pid; }

 private:
  friend class Ours;
  Held() = default;
  sandbox::AttemptRef attempt_;
  std::optional<sandbox::IdLock> ids_;
  std::optional<sandbox::CgroupSet> groups_;
  sandbox::RunningInit init_;
  base::Fd input_;  // closed: the program ends
};

class Ours {
 public:
  // `folder` is made, with everything below removed by the destructor; `stamp` is the program.
  Ours(std::filesystem::path folder, const std::filesystem::path& stamp);
  ~Ours();

  // What a caller has beforehand: the attempt's folder.
  struct Attempt {
    sandbox::LaunchRequest request;
  };
  [[nodiscard]] Attempt prepare();
  // A box that the next start() with Groups::warm takes.
  void make_ready(const Attempt& attempt);
  [[nodiscard]] std::vector<pid_t> waiting() const { return pool_.waiting(); }
  void drop_ready() { pool_.clear(); }
  // Safe from several threads at once.
  [[nodiscard]] Held start(const Attempt& attempt, Groups groups);
  // A launch as the server does it, keeper included, until the program's first instruction. `keeper` is how
  // this program is started as keep_for_launch().
  [[nodiscard]] double launch(Attempt attempt, const std::vector<std::string>& keeper);

  [[nodiscard]] const std::filesystem::path& program_folder() const { return programs_; }

 private:
  void build(const sandbox::CheckedLaunch& launch, int folder, Groups groups, Held& held);

  std::filesystem::path folder_, programs_;
  base::Fd attempts_;
  sandbox::LocalLauncher launcher_;
  sandbox::WarmPool pool_;
  std::uint32_t next_slot_ = 0;
};

// The keeper of launch().
int keep_for_launch();

}  // namespace agentrouter::bench
