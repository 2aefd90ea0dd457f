#include "loop.h"

#include <algorithm>
#include <cstdio>

namespace agentrouter::simulation {

namespace {

using namespace std::chrono_literals;

constexpr Moment epoch{1h};
constexpr std::int64_t wall_epoch_ms = 1'780'000'000'000;

// What belonged to killed programs.
std::vector<std::shared_ptr<Process>>& graveyard() {
  static auto* const all = new std::vector<std::shared_ptr<Process>>();
  return *all;
}

}  // namespace

Loop::Loop(std::uint64_t seed, bool trace) : random(seed), trace_(trace) {
  base::set_steady_source(this);
  base::set_thread_source(this);
}

Loop::~Loop() {
  base::set_thread_source(nullptr);
  base::set_steady_source(nullptr);
}

base::Time Loop::Wall::now() const {
  return base::Time(std::chrono::milliseconds(wall_epoch_ms)) + loop.wall_offset_ +
         std::chrono::duration_cast<std::chrono::milliseconds>(loop.now_ - epoch);
}

std::chrono::milliseconds Loop::elapsed() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(now_ - epoch);
}

std::shared_ptr<Process> Loop::start(const std::string& name) {
  return processes_.emplace_back(std::make_shared<Process>(name));
}

void Loop::kill(Process& process) {
  if (!process.alive) return;
  process.alive = false;
  const auto found = std::find_if(processes_.begin(), processes_.end(),
                                  [&](const auto& other) { return other.get() == &process; });
  graveyard().push_back(*found);
  processes_.erase(found);
  // Its closures go as they are: what they hold is not destroyed either.
  for (auto entry = agenda_.begin(); entry != agenda_.end();) {
    if (entry->second.owner.get() != &process) {
      ++entry;
      continue;
    }
    static auto* const forgotten = new std::vector<std::function<void()>>();
    forgotten->push_back(std::move(entry->second.call));
    entry = agenda_.erase(entry);
  }
}

void Loop::go_on(Process& process) {
  process.paused = false;
  process.ready_ = true;
}

void Loop::run_in(Process& process, const std::function<void()>& call) {
  Process* const before = std::exchange(running_, &process);
  process.ready_ = true;
  call();
  running_ = before;
}

void Loop::add(Moment time, std::uint64_t order, Happening happening) {
  agenda_.emplace(std::pair(time, order), std::move(happening));
}

void Loop::after(Duration delay, const std::shared_ptr<Process>& owner, std::string what,
                 std::function<void()> call) {
  if (owner && !owner->alive) return;
  // Among those of one moment the seed decides.
  add(now_ + delay, (random.next() << 24) + (++order_ & 0xffffff), {owner, std::move(what), std::move(call)});
}

std::shared_ptr<Process> Loop::shared(const Process& process) const {
  for (const auto& one : processes_) {
    if (one.get() == &process) return one;
  }
  return nullptr;
}

void Loop::begin(const base::Threads& threads, std::size_t count) {
  Crew crew;
  if (running_ != nullptr) crew.owner = shared(*running_);
  crew.in_order = count == 1;
  crews_[&threads] = std::move(crew);
}

void Loop::post(const base::Threads& threads, base::Threads::Work work, std::chrono::milliseconds delay) {
  auto& crew = crews_[&threads];
  if (crew.owner && !crew.owner->alive) return;
  auto time = now_ + delay + Duration(random.below(static_cast<std::uint64_t>(slowness_.count()) + 1));
  if (crew.in_order && delay == 0ms) time = crew.last = std::max(time, crew.last + 1ns);
  const char* what = delay == 0ms ? "work" : "late work";
  add(time, (random.next() << 24) + (++order_ & 0xffffff), {crew.owner, what, std::move(work), &threads});
}

void Loop::join(const base::Threads& threads) {
  const auto crew = crews_.find(&threads);
  if (crew == crews_.end()) return;
  const bool alive = !crew->second.owner || crew->second.owner->alive;
  for (;;) {
    const auto next = std::find_if(agenda_.begin(), agenda_.end(),
                                   [&](const auto& entry) { return entry.second.threads == &threads; });
    if (next == agenda_.end()) break;
    auto happening = std::move(next->second);
    agenda_.erase(next);
    if (alive && happening.what == "work") happening.call();
  }
  crews_.erase(&threads);
}

void Loop::waits(Duration time) noexcept {
  if (running_ == nullptr) return;
  const bool ever = time < Moment::max() - now_;
  running_->next_timer_ = ever ? now_ + time : Moment::max();
}

bool Loop::handle(Process& process) {
  running_ = &process;
  process.next_timer_ = Moment::max();
  const bool ran = process.io.poll_one() != 0;
  running_ = nullptr;
  process.ready_ = ran;
  if (ran) {
    ++steps_;
    note(process.name);
  }
  return ran;
}

bool Loop::happen() {
  const auto first = agenda_.begin();
  auto happening = std::move(first->second);
  agenda_.erase(first);
  const auto owner = happening.owner;
  if (owner && owner->paused) {
    add(now_ + 50ms, (random.next() << 24) + (++order_ & 0xffffff), std::move(happening));
    return false;
  }
  ++steps_;
  note(happening.what);
  running_ = owner.get();
  happening.call();
  running_ = nullptr;
  // What it has told others is in their queues now.
  for (const auto& process : processes_) process->ready_ = true;
  return true;
}

bool Loop::advance() {
  Moment next = agenda_.empty() ? Moment::max() : agenda_.begin()->first.first;
  for (const auto& process : processes_) {
    if (!process->paused) next = std::min(next, process->next_timer_);
  }
  if (next == Moment::max()) return false;
  now_ = std::max(now_, next);
  for (const auto& process : processes_) {
    if (process->next_timer_ <= now_) process->ready_ = true;
  }
  return true;
}

bool Loop::step() {
  for (;;) {
    std::size_t count = 0;
    for (const auto& process : processes_) count += process->ready_ && !process->paused ? 1 : 0;
    const bool due = !agenda_.empty() && agenda_.begin()->first.first <= now_;
    if (count == 0 && !due) {
      if (!advance()) return false;
      continue;
    }
    auto chosen = random.below(count + (due ? 1 : 0));
    bool did = false;
    if (due && chosen == count) {
      did = happen();
    } else {
      for (const auto& process : processes_) {
        if (!process->ready_ || process->paused || chosen-- != 0) continue;
        const auto kept = process;
        did = handle(*kept);
        break;
      }
    }
    if (!did) continue;
    if (after_step) after_step();
    return true;
  }
}

void Loop::note(std::string_view what) {
  const auto mix = [this](std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3; };
  mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
  for (const char c : what) mix(static_cast<unsigned char>(c));
  if (!trace_) return;
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now_ - epoch).count();
  std::printf("%12.6f %8llu %.*s\n", static_cast<double>(micros) / 1e6, static_cast<unsigned long long>(steps_),
              static_cast<int>(what.size()), what.data());
}

}  // namespace agentrouter::simulation
