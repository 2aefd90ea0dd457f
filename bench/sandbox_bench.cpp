// How long a sandbox takes: sandbox_bench [count] [folder]. Run it as root and as a plain user.
//
//   ready         cgroups, namespaces, root, overlay, listener, filter; nothing inside but init
//   launch        the same and a keeper started
//   first output  the same until the first byte of a program inside has reached this process

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <iostream>

#include "base/file.h"
#include "base/id.h"
#include "sandbox/box.h"
#include "sandbox/clone.h"
#include "sandbox/remove_tree.h"
#include "sandbox/start.h"

namespace {

using namespace agentrouter;
using namespace agentrouter::sandbox;
using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void print(const char* name, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double part) {
    return values[std::min(values.size() - 1,
                           static_cast<std::size_t>(part * static_cast<double>(values.size())))];
  };
  std::cout << std::left << std::setw(14) << name << std::right << std::fixed << std::setprecision(2)
            << " min " << std::setw(6) << values.front() << "  p50 " << std::setw(6) << at(0.5) << "  p99 "
            << std::setw(6) << at(0.99) << " ms\n";
}

// The plan's descriptor is a pipe that the program inside writes to.
int keep() {
  auto box = base::value_or_throw(Box::adopt());
  const auto out = box.take_plan_pipe();
  Spawn spawn;
  spawn.argv = {"/bin/echo"};
  spawn.stdio = {-1, out.get(), -1};
  base::value_or_throw(box.spawn(spawn));
  base::value_or_throw(box.destroy());
  return 0;
}

class Bench {
 public:
  explicit Bench(std::string folder) : folder_(std::move(folder)) {
    if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST)
      base::throw_errno("cannot make " + folder_, errno);
    attempts_ = base::value_or_throw(base::open_directory(folder_));
  }

  LaunchRequest request(std::uint32_t slot) {
    LaunchRequest request;
    request.attempt = {attempts_.get(), "attempt_" + base::new_uuid(base::system_entropy())};
    if (::mkdirat(attempts_.get(), request.attempt.id.c_str(), 0700) != 0)
      base::throw_errno("cannot make", errno);
    request.plan = curated_plan();
    request.keeper_argv = {"sandbox_bench", "--keeper"};
    request.slot = slot;
    return request;
  }

  double ready(std::uint32_t slot) {
    const auto wanted = request(slot);
    const auto start = Clock::now();
    const auto encoded = base::value_or_throw(encode(wanted));
    const auto checked = base::value_or_throw(
        check(*reinterpret_cast<const LaunchRecord*>(encoded.bytes.data()), encoded.fds));
    const auto folder = base::value_or_throw(open_attempt(wanted.attempt));
    const auto site = find_cgroup_site();
    std::optional<CgroupSet> groups;
    if (!site.unified.empty() || !site.v1.empty()) {
      groups.emplace(base::value_or_throw(CgroupSet::make(site, cgroup_label(wanted.attempt), {})));
    }
    double took = 0;
    {
      const auto init =
          base::value_or_throw(start_init(checked, folder.get(), groups ? &*groups : nullptr, site.mode));
      took = milliseconds_since(start);
    }
    base::value_or_throw(launcher_.release(wanted.attempt, Remove::all));
    return took;
  }

  std::pair<double, double> launch(std::uint32_t slot) {
    auto wanted = request(slot);
    auto pipe = base::value_or_throw(base::make_pipe());
    wanted.plan_pipe = pipe.second.get();
    const auto start = Clock::now();
    const auto launched = base::value_or_throw(launcher_.launch(wanted));
    const auto launch_took = milliseconds_since(start);
    pipe.second.reset();
    pollfd readable{pipe.first.get(), POLLIN, 0};
    ::poll(&readable, 1, 10'000);
    const auto output_took = milliseconds_since(start);
    (void)wait_for_end(launched.keeper.get(), 10'000);
    base::value_or_throw(launcher_.release(wanted.attempt, Remove::all));
    return {launch_took, output_took};
  }

  void remove() {
    const auto parent =
        base::value_or_throw(base::open_directory(std::filesystem::path(folder_).parent_path()));
    base::value_or_throw(remove_tree(parent.get(), std::filesystem::path(folder_).filename()));
  }

 private:
  std::string folder_;
  base::Fd attempts_;
  LocalLauncher launcher_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--keeper") return keep();
  const int count = argc > 1 ? std::max(1, std::atoi(argv[1])) : 100;
  Bench bench(argc > 2 ? argv[2] : "/tmp/agentrouter-sandbox-bench." + std::to_string(::getpid()));
  std::vector<double> ready, launch, output;
  for (int i = -3; i < count; ++i) {
    const auto slot = static_cast<std::uint32_t>(i + 3) % UidRange::slots;
    const auto a = bench.ready(slot);
    const auto [b, c] = bench.launch(slot);
    if (i < 0) continue;  // the first ones make what is made once per process
    ready.push_back(a);
    launch.push_back(b);
    output.push_back(c);
  }
  bench.remove();
  std::cout << count << " sandboxes one after another, as " << (::geteuid() == 0 ? "root" : "a plain user")
            << "\n";
  print("ready", ready);
  print("launch", launch);
  print("first output", output);
  return 0;
}
