#pragma once
// The simulated machine's time and programs on one thread: programs have an event loop each, everything else is
// an event at a time. A step is one handler of a program or one event. Which of those that are ready comes next
// is drawn from the seed; the clock moves only when nothing is ready.

#include <boost/asio/executor_work_guard.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/steady_clock.h"
#include "base/threads.h"
#include "random.h"

namespace agentrouter::simulation {

using Duration = base::SteadyClock::duration;
using Moment = base::SteadyClock::time_point;

// A program of the simulated machine. Killed, it never runs again, and nothing of it is destroyed: kill -9 runs no
// destructors.
class Process {
 public:
  explicit Process(std::string given) : name(std::move(given)), keep_(asio::make_work_guard(io)) {}
  [[nodiscard]] base::Executor executor() { return io.get_executor(); }

  const std::string name;
  asio::io_context io{1};
  bool alive = true;
  bool paused = false;

 private:
  friend class Loop;
  asio::executor_work_guard<base::Executor> keep_;
  bool ready_ = true;
  Moment next_timer_ = Moment::max();
};

// What is wrong, in words. Ends the simulation of this seed.
class Violation : public std::exception {
 public:
  explicit Violation(std::string what) : what_(std::move(what)) {}
  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

class Loop final : public base::SteadySource, public base::ThreadSource {
 public:
  Loop(std::uint64_t seed, bool trace);
  ~Loop() override;

  [[nodiscard]] std::shared_ptr<Process> start(const std::string& name);
  void kill(Process& process);
  void pause(Process& process) { process.paused = true; }
  void go_on(Process& process);
  // It may have something to do: another program has written to a descriptor of it.
  void touch(Process& process) { process.ready_ = true; }
  // The program whose code runs.
  [[nodiscard]] Process* running() const { return running_; }
  [[nodiscard]] std::shared_ptr<Process> shared(const Process& process) const;
  // What `call` makes and posts belongs to this program.
  void run_in(Process& process, const std::function<void()>& call);

  // `call` after `delay`, unless `owner` is dead by then; a paused one hears of it when it goes on.
  void after(Duration delay, const std::shared_ptr<Process>& owner, std::string what, std::function<void()> call);
  // The same in the machine itself.
  void after(Duration delay, std::string what, std::function<void()> call) {
    after(delay, nullptr, std::move(what), std::move(call));
  }
  // Blocking work takes up to this long.
  void set_slowness(Duration most) { slowness_ = most; }

  // False: nothing will ever happen.
  bool step();
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  // Called after each step.
  std::function<void()> after_step;

  // One line of the trace; also part of what two runs of a seed are compared by.
  void note(std::string_view what);
  [[nodiscard]] bool traces() const { return trace_; }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] std::chrono::milliseconds elapsed() const;

  // The wall clock follows the steady one, but for jumps.
  [[nodiscard]] const base::Clock& wall() const { return wall_; }
  void jump(std::chrono::milliseconds by) { wall_offset_ += by; }

  Random random;

  [[nodiscard]] Moment now() const noexcept override { return now_; }
  void waits(Duration time) noexcept override;
  void begin(const base::Threads& threads, std::size_t count) override;
  void post(const base::Threads& threads, base::Threads::Work work, std::chrono::milliseconds delay) override;
  void join(const base::Threads& threads) override;

 private:
  struct Happening {
    std::shared_ptr<Process> owner;  // none: the machine
    std::string what;
    std::function<void()> call;
    const base::Threads* threads = nullptr;
  };
  struct Crew {
    std::shared_ptr<Process> owner;
    bool in_order = false;
    Moment last{};
  };
  using Agenda = std::map<std::pair<Moment, std::uint64_t>, Happening>;

  bool happen();
  bool handle(Process& process);
  void add(Moment time, std::uint64_t order, Happening happening);
  bool advance();

  struct Wall final : base::Clock {
    explicit Wall(const Loop& of) : loop(of) {}
    [[nodiscard]] base::Time now() const override;
    const Loop& loop;
  };

  Wall wall_{*this};
  bool trace_;
  Moment now_{std::chrono::hours(1)};
  std::chrono::milliseconds wall_offset_{0};
  Duration slowness_{std::chrono::milliseconds(2)};
  std::vector<std::shared_ptr<Process>> processes_;
  Process* running_ = nullptr;
  Agenda agenda_;
  std::uint64_t order_ = 0;
  std::map<const base::Threads*, Crew> crews_;
  std::uint64_t steps_ = 0;
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace agentrouter::simulation
