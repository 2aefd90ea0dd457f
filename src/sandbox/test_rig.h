#pragma once
// For the tests of this room: a launched sandbox whose keeper is the test program itself, started again,
// doing what the test tells it through the plan's descriptor (a socket, here).

#include <filesystem>
#include <string>
#include <vector>

#include "sandbox/box.h"

namespace agentrouter::sandbox::rig {

// Answers of the keeper: "" or the error's message.
struct Ran {
  int code = -1;
  int signal = 0;
  std::string output;  // stdout and stderr together
  std::string error;   // the program could not be started
};

// Where docs/seccomp.md is open when the suite runs as a plain user.
inline constexpr int seccomp_list_fd = 900;

// A folder that is gone, with everything below, when the test ends.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

class Rig {
 public:
  Rig();
  // An attempt of the same installation, launched by the same launcher.
  explicit Rig(Rig* beside);
  ~Rig();

  // Before launch().
  Plan plan;
  std::filesystem::path lower;   // empty: no workspace folder
  std::vector<std::filesystem::path> layers;  // kept ones, the newest first
  unsigned home_layers = 0;
  std::filesystem::path image;   // empty: the host's programs
  Launcher* launcher = nullptr;  // null: a LocalLauncher of the rig
  std::uint32_t slot = 7;
  Range range = Range::at_slot;
  unsigned warm = 0;

  [[nodiscard]] base::Result<void> launch();
  // A box that a launch like this one may take.
  [[nodiscard]] base::Result<void> make_ahead();

  [[nodiscard]] Ran run(const std::string& script);
  [[nodiscard]] Ran collect(const std::string& script);  // /bin/sh as the collector; output 6 is captured
  [[nodiscard]] Ran restore(const std::string& script);  // as the restorer; 3 holds "a file", 4 is captured
  [[nodiscard]] std::string start(const std::string& script);  // in the background; "" or the error
  [[nodiscard]] base::Fd listener();
  [[nodiscard]] Box::Outbound outbound();  // once
  [[nodiscard]] std::string ask(
      const std::string& command);  // kill_all, destroy, freeze, thaw, status, memory
  void end_keeper();                // SIGKILL, and wait for its end
  // Ends the sandbox and moves what its agent wrote to `place`.
  void keep_as(const std::filesystem::path& place);

  [[nodiscard]] std::filesystem::path attempt_path() const { return attempts() / attempt_; }
  [[nodiscard]] std::filesystem::path attempts() const { return attempts_; }
  [[nodiscard]] const std::string& id() const { return attempt_; }
  [[nodiscard]] AttemptRef ref() const { return {attempts_fd_.get(), attempt_}; }
  [[nodiscard]] LocalLauncher& local() { return local_; }
  [[nodiscard]] Launcher& the_launcher() { return launcher ? *launcher : local_; }
  [[nodiscard]] const Launched& launched() const { return *launched_; }
  [[nodiscard]] bool is_root() const;
  // As root: that of the box that was launched; other suites and servers of the machine may have had `slot`.
  [[nodiscard]] UidRange given() const;

 private:
  void make_attempt();

  TemporaryFolder data_;
  std::filesystem::path attempts_;
  std::string attempt_;
  base::Fd attempts_fd_, keeper_socket_;
  LocalLauncher local_;
  std::optional<Launched> launched_;
};

// What the suite runs with: --driver=oci as the first argument, or --warm: every box of a launch that can have one is
// made ahead.
[[nodiscard]] Driver driver();
[[nodiscard]] bool makes_boxes_ahead();
// A root with the host's programs that the suite uses, copied once.
[[nodiscard]] const std::filesystem::path& test_image();

// Seconds to sleep that nobody else sleeps: "612.<pid of this test>".
[[nodiscard]] std::string own_sleep(int seconds);

// Processes of this machine, other than this one, whose command line holds `text`.
[[nodiscard]] std::vector<int> processes_named(const std::string& text);

}  // namespace agentrouter::sandbox::rig
