#pragma once
// The two processes of an attempt: init, which builds the sandbox around itself, and the keeper.

#include <array>
#include <memory>

#include "sandbox/cgroup.h"
#include "sandbox/clone.h"
#include "sandbox/spec.h"

namespace agentrouter::sandbox {

// What a control that is switched off on purpose looks like. The product has one value of it: nothing is off.
// Only the escape suite's own program links another init and passes something else (weak.h in tests/escape).
struct Weakened {
  std::uint32_t bits = 0;  // init::Weakening
  std::string_view init;   // another image of init; empty: the product's
};

// An init that has built its sandbox. Killed, with everything inside, by the destructor unless released.
struct RunningInit {
  RunningInit() = default;
  RunningInit(RunningInit&&) = default;
  RunningInit& operator=(RunningInit&&) = default;
  ~RunningInit();

  Cloned process;
  base::Fd control;
  base::Fd listener;
  std::vector<base::Fd> outbound;  // as keeper_fd says from names_udp on; empty: no way out
};

// Init's program, sealed; made once. Borrowed.
[[nodiscard]] base::Result<int> open_init_program(const Weakened& weakened = {});

// What the attempt's folder holds for its sandbox, with the owners that they have inside. May be repeated.
[[nodiscard]] base::Result<void> make_folders(const CheckedLaunch& launch, int attempt_dir, bool root);

// The folders of the attempt are made and the sources of its mounts are open; with part_common there is no attempt
// yet (-1).
struct PreparedSetup {
  std::unique_ptr<init::Setup> setup;
  std::vector<base::Fd> sources;
};
[[nodiscard]] base::Result<PreparedSetup> prepare_setup(const CheckedLaunch& launch, int attempt_dir, LimitsMode mode,
                                                        const Weakened& weakened = {},
                                                        init::SetupPart part = init::part_whole);
// An init in its namespaces that waits for a set-up. `own_map`: it makes the map of its ids itself.
[[nodiscard]] base::Result<RunningInit> begin_init(UidRange range, bool own_map, const CgroupSet* cgroups,
                                                   const Weakened& weakened = {});
// Gives such an init the part that launches have in common, and waits until that is done.
[[nodiscard]] base::Result<void> finish_common(RunningInit& running, const PreparedSetup& prepared);
// Talks an init that waits for it through its set-up, until it is ready.
[[nodiscard]] base::Result<void> finish_setup(RunningInit& running, const PreparedSetup& prepared);
// The ids of a range but the keeper's own.
struct IdSpan {
  std::uint32_t inside, outside, count;
};
[[nodiscard]] std::array<IdSpan, 2> spans_of(UidRange range);

// Makes the folders of the attempt, opens the sources, clones init and talks it through its set-up.
// Errors: "cannot <stage>: <cause>".
[[nodiscard]] base::Result<RunningInit> start_init(const CheckedLaunch& launch, int attempt_dir,
                                                   const CgroupSet* cgroups, LimitsMode mode,
                                                   const Weakened& weakened = {});

// This same program as `argv`, in a session of its own, with an empty environment, no_new_privs and no core
// files: `fds` become 0, 1, 2..., -1 stays closed. `id` not 0: as that uid and gid, without any capability.
struct ProgramStart {
  std::vector<std::string> argv;
  std::array<int, keeper_fd::end> fds;
  std::uint32_t id = 0;
};
[[nodiscard]] base::Result<Cloned> start_this_program(const ProgramStart& wanted);

struct KeeperStart {
  const CheckedLaunch& launch;
  int attempt_dir;
  const RunningInit& init;
  const CgroupSet* cgroups;
  int id_lock;  // -1: none
};
[[nodiscard]] base::Result<Cloned> start_keeper(const KeeperStart& start);

// The folder of an attempt, never through a link.
[[nodiscard]] base::Result<base::Fd> open_attempt(const AttemptRef& attempt);

// The privileged part of LocalLauncher::launch; `launch.slot` becomes that of the range that was free.
struct LaunchedPair {
  Cloned init;
  Cloned keeper;
  LimitsMode limits;
  bool warm = false;
};
[[nodiscard]] base::Result<LaunchedPair> launch_checked(CheckedLaunch& launch, const Weakened& weakened = {},
                                                        WarmPool* pool = nullptr);

// The whole of Launcher::release and sweep for files and groups of this machine.
[[nodiscard]] base::Result<void> release_attempt(const AttemptRef& attempt, Remove what);
[[nodiscard]] base::Result<SweepReport> sweep_attempts(int attempts);

}  // namespace agentrouter::sandbox
