// How long a sandbox takes, from the call to the first instruction of a program inside, and what it costs
// while it waits: ours beside bubblewrap, crun and a plain fork and exec, interleaved in one run.
//
//   sandbox_bench [--samples N] [--folder DIR]      as root and as a plain user; a quiet machine, or the
//   figures are the others'
//
// DIR must be on a file system that can be an overlay's upper layer.

#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <future>
#include <iostream>
#include <limits>
#include <thread>

#include "base/error.h"
#include "sandbox/others.h"
#include "sandbox/ours.h"
#include "sandbox/stats.h"

namespace agentrouter::bench {
namespace {

constexpr std::size_t ballast_bytes = 1ull << 30;
constexpr unsigned block = 50;  // samples between a change of this process's size

struct Options {
  unsigned samples = 2000;
  std::string folder = "/tmp/agentrouter-sandbox-bench." + std::to_string(::getpid());
};

// Memory that this process really has.
class Ballast {
 public:
  Ballast()
      : memory_(::mmap(nullptr, ballast_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)) {
    if (memory_ == MAP_FAILED) base::throw_errno("cannot take memory", errno);
    std::memset(memory_, 1, ballast_bytes);
  }
  ~Ballast() { ::munmap(memory_, ballast_bytes); }
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;

 private:
  void* memory_;
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        others_(std::filesystem::path(options.folder) / "programs",
                std::filesystem::path(options.folder) / "others"),
        ours_(options.folder,
              std::filesystem::read_symlink("/proc/self/exe").parent_path() / "sandbox_stamp") {}

  void one_after_another() {
    std::vector<Variant> variants = {
        {"fork and exec, nothing confined", [this] { return others_.start(Other::fork_exec, 1).first_ms; }},
        {"ours, no limits", [this] { return ours(Groups::none); }},
        {"ours, limits (" + limits_word() + ")", [this] { return ours(Groups::limits); }},
        {"ours, warm claim (" + limits_word() + ")", [this] { return ours(Groups::warm); }},
        {"ours, limits, with its keeper", [this] { return launch(); }}};
    for (const auto& [other, name] : {std::pair{Other::bwrap, "bwrap"}, {Other::crun, "crun"}}) {
      if (const auto why = others_.missing(other); !why.empty()) {
        std::printf("not run: %s: %s\n", name, why.c_str());
        continue;
      }
      variants.push_back({name, [this, other = other] { return others_.start(other, 1).first_ms; }});
    }
    print_rows("one after another, ms", sample(variants, options_.samples));
  }

  void with_a_large_server() {
    std::vector<Variant> small = {
        {"ours, no limits, this process small", [this] { return ours(Groups::none); }},
        {"fork and exec of this process, small", fork_and_exec()}};
    std::vector<Variant> large = {{"ours, no limits, 1 GiB resident", [this] { return ours(Groups::none); }},
                                  {"fork and exec of this process, 1 GiB", fork_and_exec()}};
    std::vector<Row> rows = {
        {small[0].name, {}}, {large[0].name, {}}, {small[1].name, {}}, {large[1].name, {}}};
    for (unsigned done = 0; done < std::max(options_.samples / 4, 2 * block); done += block) {
      const auto add = [&](const std::vector<Variant>& variants, std::size_t at) {
        for (auto& row : sample(variants, block)) {
          auto& all = rows[at].times;
          all.insert(all.end(), row.times.begin(), row.times.end());
          at += 2;
        }
      };
      add(small, 0);
      const Ballast ballast;
      add(large, 1);
    }
    print_rows("size of the server, ms", rows);
  }

  void at_once() {
    std::vector<Row> rows;
    std::vector<std::string> memory;
    for (const unsigned count : {1u, 10u, 100u}) {
      const unsigned rounds = std::max(3u, std::min(options_.samples, 2000u) / count / 5);
      std::vector<Row> mine = {{std::to_string(count) + " at once: ours, no limits", {}},
                               {std::to_string(count) + " at once: ours, limits", {}},
                               {std::to_string(count) + " at once: ours, warm claims", {}},
                               {std::to_string(count) + " at once: bwrap", {}},
                               {std::to_string(count) + " at once: crun", {}}};
      for (unsigned round = 0; round < rounds; ++round) {
        const bool measure = count == 100 && round == 0;
        mine[0].times.push_back(
            keep(memory, "ours, no limits", ours_at_once(Groups::none, count, measure), measure));
        mine[1].times.push_back(
            keep(memory, "ours, limits", ours_at_once(Groups::limits, count, measure), measure));
        mine[2].times.push_back(keep(memory, "ours, warm", ours_at_once(Groups::warm, count, measure), measure));
        for (const auto& [other, row] : {std::pair{Other::bwrap, 3}, {Other::crun, 4}}) {
          if (!others_.missing(other).empty()) continue;
          mine[row].times.push_back(
              keep(memory, row == 3 ? "bwrap" : "crun", others_.start(other, count, measure), measure));
        }
      }
      rows.insert(rows.end(), mine.begin(), mine.end());
    }
    keep(memory, "ours, made ahead, without a run", waiting(100), true);
    print_rows("until all have begun, two threads, ms", rows);
    std::printf("\nidle, one of 100, KiB%24s %10s %24s\n", "", "PSS", "less memory available");
    for (const auto& line : memory) std::printf("%s\n", line.c_str());
  }

 private:
  struct Variant {
    std::string name;
    std::function<double()> measure;
  };

  static std::vector<Row> sample(const std::vector<Variant>& variants, unsigned count) {
    std::vector<Row> rows;
    for (const auto& variant : variants) rows.push_back({variant.name, {}});
    for (unsigned i = 0; i < count + 1; ++i) {
      for (std::size_t v = 0; v < variants.size(); ++v) {
        const double took = measure(variants[v], i, rows);
        if (i > 0) rows[v].times.push_back(took);  // the first makes what is made once
      }
    }
    return rows;
  }

  // One that fails ends everything, but what has been measured until then is shown.
  static double measure(const Variant& variant, unsigned number, const std::vector<Row>& rows) {
    try {
      return variant.measure();
    } catch (const std::exception& error) {
      print_rows("until sample " + std::to_string(number) + " of " + variant.name + ", ms", rows);
      throw std::runtime_error(variant.name + ", sample " + std::to_string(number) + ": " + error.what());
    }
  }

  double ours(Groups groups) {
    const auto attempt = ours_.prepare();
    if (groups == Groups::warm) ours_.make_ready(attempt);
    const double began = now_ms();
    return ours_.start(attempt, groups).started_ms - began;
  }

  double launch() {
    auto attempt = ours_.prepare();
    const double began = now_ms();
    return ours_.launch(std::move(attempt), {"sandbox_bench", "--keeper"}) - began;
  }

  // As a program would that knows nothing of borrowed memory.
  std::function<double()> fork_and_exec() {
    return [program = (ours_.program_folder() / "stamp").string()] {
      auto output = base::value_or_throw(base::make_pipe());
      const double began = now_ms();
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::dup2(output.second.get(), 1);
        ::execl(program.c_str(), "stamp", nullptr);
        ::_exit(127);
      }
      timespec time{};
      if (::read(output.first.get(), &time, sizeof time) != sizeof time)
        throw std::runtime_error("cannot start");
      ::waitpid(pid, nullptr, 0);
      return ms_of(time) - began;
    };
  }

  AtOnce ours_at_once(Groups groups, unsigned count, bool measure) {
    std::vector<Ours::Attempt> attempts;
    for (unsigned i = 0; i < count; ++i) attempts.push_back(ours_.prepare());
    std::vector<std::optional<Held>> held(count);
    const double before_kib = available_kib();
    if (groups == Groups::warm) {
      for (const auto& attempt : attempts) ours_.make_ready(attempt);
    }
    const double began = now_ms();
    const auto start_half = [&](std::size_t first) {
      for (std::size_t i = first; i < count; i += 2) held[i].emplace(ours_.start(attempts[i], groups));
    };
    auto other = std::async(std::launch::async, start_half, 1);
    start_half(0);
    other.get();
    AtOnce result;
    result.first_ms = std::numeric_limits<double>::max();
    for (const auto& one : held) {
      result.all_ms = std::max(result.all_ms, one->started_ms - began);
      result.first_ms = std::min(result.first_ms, one->started_ms - began);
      if (measure) result.pss_kib += pss_kib_of_tree(one->init()) / count;
    }
    if (measure) result.available_kib = (before_kib - available_kib()) / count;
    return result;
  }

  // Boxes that wait for their run.
  AtOnce waiting(unsigned count) {
    const auto attempt = ours_.prepare();
    const double before_kib = available_kib();
    for (unsigned i = 0; i < count; ++i) ours_.make_ready(attempt);
    AtOnce result;
    for (const auto pid : ours_.waiting()) result.pss_kib += pss_kib_of_tree(pid) / count;
    result.available_kib = (before_kib - available_kib()) / count;
    ours_.drop_ready();
    return result;
  }

  static double keep(std::vector<std::string>& memory, const char* name, const AtOnce& result,
                     bool measured) {
    if (measured) {
      char line[160];
      std::snprintf(line, sizeof line, "%-44s %10.0f %24.0f", name, result.pss_kib, result.available_kib);
      memory.emplace_back(line);
    }
    return result.all_ms;
  }

  static std::string limits_word() {
    return std::string(sandbox::to_string(sandbox::find_cgroup_site().mode));
  }

  Options options_;
  Others others_;  // forks, so it comes first
  Ours ours_;
};

void print_machine(const Options& options) {
  utsname name{};
  ::uname(&name);
  double load[3] = {};
  (void)::getloadavg(load, 3);
  std::printf("Linux %s, %u processors, load %.1f, as %s, %u samples\n", name.release,
              std::thread::hardware_concurrency(), load[0], ::geteuid() == 0 ? "root" : "a plain user",
              options.samples);
  if (load[0] > 0.5) std::printf("the machine is not quiet: these figures are the others' too\n");
  std::fflush(stdout);
}

}  // namespace
}  // namespace agentrouter::bench

int main(int argc, char** argv) {
  using namespace agentrouter::bench;
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--keeper") return keep_for_launch();
    if (word == "--samples" && i + 1 < argc) {
      options.samples = static_cast<unsigned>(std::max(1, std::atoi(argv[++i])));
    } else if (word == "--folder" && i + 1 < argc) {
      options.folder = argv[++i];
    } else {
      std::cerr << "usage: sandbox_bench [--samples N] [--folder DIR]\n";
      return 2;
    }
  }
  print_machine(options);
  try {
    Bench bench(options);
    bench.one_after_another();
    bench.with_a_large_server();
    bench.at_once();
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::cerr << "sandbox_bench: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
