// simulation [--seeds FROM-TO] [--jobs N] [--twice] [--no-faults] [--mutation NAME]
// simulation --seed N [--trace]     one seed, as it happened
// simulation --prove [SEEDS]        each mutation must be caught within so many seeds

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "world.h"

namespace agentrouter::simulation {
namespace {

struct Arguments {
  std::uint64_t from = 1, to = 100;
  int jobs = 1;
  bool twice = false;
  bool prove = false;
  std::uint64_t prove_seeds = 60;
  Options options;
};

struct Total {
  std::uint64_t seeds = 0, steps = 0, runs = 0, events = 0, faults = 0, releases = 0, violations = 0;
  std::chrono::milliseconds time{0};
};

// A seed has a program of its own: what was killed in it is never destroyed, and what breaks it breaks nothing else.
// Its report comes through a pipe.
struct Running {
  std::uint64_t seed = 0;
  pid_t pid = -1;
  base::Fd report;
  std::string folder;
};

void child(const Options& options, int to, const std::string& folder) {
  std::filesystem::create_directories(folder);
  // What the product logs is part of the trace; else it is only looked at when the program dies.
  if (!options.trace && std::freopen((folder + "/stderr").c_str(), "w", stderr) == nullptr) ::_exit(1);
  Report report;
  try {
    World* const world = new World(options, folder);  // never destroyed: see above
    report = world->run();
  } catch (const std::exception& error) {
    report.violation = std::string("the simulation itself failed: ") + error.what();
  }
  std::string text = std::to_string(report.steps) + " " + std::to_string(report.hash) + " " +
                     std::to_string(report.runs) + " " + std::to_string(report.events) + " " +
                     std::to_string(report.faults) + " " + std::to_string(report.releases) + " " +
                     std::to_string(report.time.count()) + " " + report.violation;
  std::fflush(nullptr);
  (void)base::write_all(to, text);
  ::_exit(0);
}

Running begin(Options options) {
  auto pipe = base::value_or_throw(base::make_pipe());
  static int count = 0;
  Running running{options.seed, -1, {}, "/dev/shm/agentrouter-simulation-" + std::to_string(::getpid()) + "-" + std::to_string(++count)};
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) base::throw_errno("cannot start a seed", errno);
  if (pid == 0) child(options, pipe.second.get(), running.folder);
  running.pid = pid;
  running.report = std::move(pipe.first);
  return running;
}

Report finish(Running& running) {
  Report report;
  const auto text = base::value_or_throw(base::read_all(running.report.get(), 1 << 20));
  int status = 0;
  ::waitpid(running.pid, &status, 0);
  const auto last_words = base::read_file(running.folder + "/stderr").value_or("");
  std::filesystem::remove_all(running.folder);
  unsigned long long steps = 0, hash = 0, runs = 0, events = 0, faults = 0, releases = 0;
  long long time = 0;
  int end = 0;
  if (std::sscanf(text.c_str(), "%llu %llu %llu %llu %llu %llu %lld %n", &steps, &hash, &runs, &events, &faults,
                  &releases, &time, &end) < 7) {
    report.violation = "the program died: " + std::string(WIFSIGNALED(status) ? ::strsignal(WTERMSIG(status)) : "no report") + "\n" +
                       last_words.substr(last_words.size() - std::min<std::size_t>(last_words.size(), 20'000));
    return report;
  }
  report = {steps, hash, runs, events, faults, releases, std::chrono::milliseconds(time), text.substr(static_cast<std::size_t>(end))};
  return report;
}

Report one(const Options& options) {
  auto running = begin(options);
  return finish(running);
}

void print_violation(const Options& options, const Report& report) {
  std::printf("seed %llu: %s\n  replay: simulation --seed %llu --trace%s\n", static_cast<unsigned long long>(options.seed),
              report.violation.c_str(), static_cast<unsigned long long>(options.seed), options.faults ? "" : " --no-faults");
  std::fflush(stdout);
}

int many(const Arguments& arguments) {
  Total total;
  const auto began = std::chrono::steady_clock::now();
  std::vector<Running> running;
  std::uint64_t next = arguments.from;
  while (next <= arguments.to || !running.empty()) {
    while (next <= arguments.to && running.size() < static_cast<std::size_t>(arguments.jobs)) {
      Options options = arguments.options;
      options.seed = next++;
      running.push_back(begin(options));
    }
    auto oldest = std::move(running.front());
    running.erase(running.begin());
    Options options = arguments.options;
    options.seed = oldest.seed;
    auto report = finish(oldest);
    if (arguments.twice && report.violation.empty()) {
      const auto again = one(options);
      if (again.hash != report.hash) report.violation = "the second time something else happened";
    }
    ++total.seeds;
    total.steps += report.steps;
    total.runs += report.runs;
    total.events += report.events;
    total.faults += report.faults;
    total.releases += report.releases;
    total.time += report.time;
    if (report.violation.empty()) continue;
    ++total.violations;
    print_violation(options, report);
  }
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  const double cpu = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                     static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("%llu seeds, %llu steps, %llu runs, %llu events, %llu faults, %llu actions run, %.1f simulated hours in %.1f s, %.1f s of a processor (%.0f steps/s of it): %llu violations\n",
              static_cast<unsigned long long>(total.seeds), static_cast<unsigned long long>(total.steps),
              static_cast<unsigned long long>(total.runs), static_cast<unsigned long long>(total.events),
              static_cast<unsigned long long>(total.faults), static_cast<unsigned long long>(total.releases),
              static_cast<double>(total.time.count()) / 3.6e6, seconds, cpu, static_cast<double>(total.steps) / cpu,
              static_cast<unsigned long long>(total.violations));
  return total.violations == 0 ? 0 : 1;
}

int prove(const Arguments& arguments) {
  int missed = 0;
  for (const auto* name : {"drop-fsync", "reorder", "skip-fencing", "double-append", "lose-notify"}) {
    Options options;
    options.mutation = *mutation_named(name);
    Report report;
    for (options.seed = 1; options.seed <= arguments.prove_seeds && report.violation.empty(); ++options.seed)
      report = one(options);
    const bool caught = !report.violation.empty();
    std::printf("%s: %s", name, caught ? "caught" : "NOT CAUGHT");
    if (caught) std::printf(" by seed %llu: %s", static_cast<unsigned long long>(options.seed - 1), report.violation.c_str());
    std::printf("\n");
    missed += caught ? 0 : 1;
  }
  return missed == 0 ? 0 : 1;
}

bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (word == "--trace") {
      arguments.options.trace = true;
    } else if (word == "--twice") {
      arguments.twice = true;
    } else if (word == "--no-faults") {
      arguments.options.faults = false;
    } else if (word == "--seed" && value != nullptr) {
      arguments.from = arguments.to = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--seeds" && value != nullptr) {
      unsigned long long from = 0, to = 0;
      if (std::sscanf(argv[++i], "%llu-%llu", &from, &to) != 2) return false;
      arguments.from = from;
      arguments.to = to;
    } else if (word == "--jobs" && value != nullptr) {
      arguments.jobs = std::max(1, std::atoi(argv[++i]));
    } else if (word == "--mutation" && value != nullptr) {
      const auto mutation = mutation_named(argv[++i]);
      if (!mutation) return false;
      arguments.options.mutation = *mutation;
    } else if (word == "--prove") {
      arguments.prove = true;
      if (value != nullptr && value[0] != '-') arguments.prove_seeds = std::strtoull(argv[++i], nullptr, 10);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace
}  // namespace agentrouter::simulation

int main(int argc, char** argv) {
  using namespace agentrouter;
  simulation::Arguments arguments;
  if (!simulation::parse(argc, argv, arguments)) {
    std::fprintf(stderr, "simulation [--seeds FROM-TO | --seed N [--trace]] [--jobs N] [--twice] [--no-faults] [--mutation NAME]\nsimulation --prove [SEEDS]\n");
    return 2;
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  base::set_log_level(arguments.options.trace ? base::LogLevel::debug : base::LogLevel::error);
  return arguments.prove ? simulation::prove(arguments) : simulation::many(arguments);
}
