#include "worker/kept_layers.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "sandbox/remove_tree.h"

namespace agentrouter::worker {
namespace {

using base::Fd;
using base::Result;

constexpr std::size_t text_bytes = 64 * 1024;

struct CloseFolder {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

std::vector<std::string> names_in(int folder) {
  std::vector<std::string> names;
  Fd again(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, CloseFolder> dir(again ? ::fdopendir(again.get()) : nullptr);
  if (!dir) return names;
  (void)again.release();
  while (const auto* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

std::optional<std::string> read_at(int folder, const std::string& name) {
  const Fd file(::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  auto text = file ? base::read_all(file.get(), text_bytes) : base::fail(base::Code::not_found, "");
  return text ? std::optional(std::move(*text)) : std::nullopt;
}

// Whole or not at all for whoever reads it in this boot.
bool write_at(int folder, const std::string& name, std::string_view text) {
  const auto temporary = name + ".new";
  const Fd file(
      ::openat(folder, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  return file && base::write_all(file.get(), text) &&
         ::renameat(folder, temporary.c_str(), folder, name.c_str()) == 0;
}

Result<Fd> open_or_make(int at, const char* name) {
  if (::mkdirat(at, name, 0700) != 0 && errno != EEXIST)
    return base::fail_errno(std::string("cannot make ") + name, errno);
  Fd fd(::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return base::fail_errno(std::string("cannot open ") + name, errno);
  return fd;
}

bool is_older(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

}  // namespace

std::string boot_of_folder(int folder) {
  struct stat info{};
  const auto boot = base::read_file("/proc/sys/kernel/random/boot_id", 100).value_or("unknown\n");
  if (::fstat(folder, &info) != 0) return boot;
  return boot + std::to_string(info.st_dev) + " " + std::to_string(info.st_ino) + "\n";
}

KeptLayers::KeptLayers(Opened, std::filesystem::path folder, Fd attempts, LayerRules rules)
    : folder_(std::move(folder)), attempts_(std::move(attempts)), rules_(rules) {}

Result<std::unique_ptr<KeptLayers>> KeptLayers::open(const std::filesystem::path& data_dir, LayerRules rules,
                                                     const std::function<std::string(int)>& boot) {
  AGENTROUTER_TRY(Fd attempts, base::open_directory(data_dir / "attempts"));
  if (auto made = base::make_directories(data_dir / "layers"); !made) return tl::unexpected(made.error());
  auto kept = std::make_unique<KeptLayers>(Opened{}, data_dir / "layers", std::move(attempts), rules);
  AGENTROUTER_TRY(kept->fd_, base::open_directory(kept->folder_));
  if (auto made = kept->make_folders(boot(kept->fd_.get())); !made) return tl::unexpected(made.error());
  const std::lock_guard lock(kept->mutex_);
  kept->read_all("states", "run_", kept->states_);
  kept->read_all("uses", "attempt_", kept->uses_);
  std::erase_if(kept->uses_, [&](const auto& use) {
    const bool over = ::faccessat(kept->attempts_.get(), use.first.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    if (over) ::unlinkat(kept->fd_.get(), ("uses/" + use.first).c_str(), 0);
    return over;
  });
  kept->put_away();
  return kept;
}

Result<void> KeptLayers::make_folders(const std::string& boot) {
  AGENTROUTER_TRY(gone_, open_or_make(fd_.get(), "gone"));
  for (const auto& name : names_in(gone_.get()))
    gone_count_ = std::max<std::uint64_t>(gone_count_, std::strtoull(name.c_str(), nullptr, 10) + 1);
  if (read_at(fd_.get(), "boot") != boot) {
    // First the states, so that a crash in between leaves layers that nothing names.
    for (const char* name : {"states", "uses", "kept"}) {
      const auto away = std::to_string(gone_count_++);
      if (::renameat(fd_.get(), name, gone_.get(), away.c_str()) != 0 && errno != ENOENT)
        return base::fail_errno("cannot put the layers of another boot away", errno);
    }
    if (!write_at(fd_.get(), "boot", boot)) return base::fail_errno("cannot write the boot of layers", errno);
  }
  for (const char* name : {"states", "uses"}) {
    if (auto made = open_or_make(fd_.get(), name); !made) return tl::unexpected(made.error());
  }
  AGENTROUTER_TRY(kept_, open_or_make(fd_.get(), "kept"));
  return {};
}

std::string KeptLayers::to_text(const Stack& stack) {
  json::array layers;
  for (const auto& layer : stack.layers)
    layers.push_back(json::object{{"runId", layer.run.str()}, {"bytes", layer.bytes}});
  return base::to_text(json::object{
      {"sha256", stack.sha256}, {"layers", std::move(layers)}, {"homeLayers", stack.home_layers}});
}

std::optional<KeptLayers::Stack> KeptLayers::parse(std::string_view text) {
  const auto value = base::parse_json(text);
  const auto* object = value ? value->if_object() : nullptr;
  const auto* layers = object ? base::get_array(*object, "layers") : nullptr;
  const auto home_layers = object ? base::get_int(*object, "homeLayers") : std::nullopt;
  if (layers == nullptr || layers->empty() || layers->size() > sandbox::max_kept_layers || !home_layers ||
      *home_layers < 0 || static_cast<std::size_t>(*home_layers) > layers->size())
    return std::nullopt;
  Stack stack;
  stack.sha256 = base::get_string(*object, "sha256").value_or("");
  stack.home_layers = static_cast<unsigned>(*home_layers);
  for (const auto& each : *layers) {
    const auto* layer = each.if_object();
    const auto run = layer ? base::get_string(*layer, "runId") : std::nullopt;
    const auto bytes = layer ? base::get_int(*layer, "bytes") : std::nullopt;
    if (!run || !base::is_prefixed_uuid(*run, "run_") || !bytes || *bytes < 0) return std::nullopt;
    stack.layers.push_back({model::RunId(std::string(*run)), static_cast<std::uint64_t>(*bytes)});
  }
  return stack;
}

void KeptLayers::read_all(const char* folder, std::string_view prefix, Stacks& into) {
  const Fd fd(::openat(fd_.get(), folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  for (const auto& name : names_in(fd.get())) {
    struct stat info{};
    const auto text = base::is_prefixed_uuid(name, prefix) ? read_at(fd.get(), name) : std::nullopt;
    auto stack = text ? parse(*text) : std::nullopt;
    if (!stack || ::fstatat(fd.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      ::unlinkat(fd.get(), name.c_str(), 0);
      continue;
    }
    stack->used = info.st_mtim;
    into.emplace(name, std::move(*stack));
  }
}

void KeptLayers::write(const char* folder, const std::string& name, const Stack& stack) {
  const Fd fd(::openat(fd_.get(), folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  (void)write_at(fd.get(), name, to_text(stack));
}

void KeptLayers::erase_state(Stacks::iterator state) {
  ::unlinkat(fd_.get(), ("states/" + state->first).c_str(), 0);
  states_.erase(state);
}

std::optional<std::vector<Fd>> KeptLayers::open_layers(const Stack& stack) const {
  std::vector<Fd> layers;
  for (const auto& layer : stack.layers) {
    Fd fd(::openat(kept_.get(), layer.run.str().c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    for (const char* part : {"upper", "home"}) {
      struct stat info{};
      if (!fd || ::fstatat(fd.get(), part, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(info.st_mode))
        return std::nullopt;
    }
    layers.push_back(std::move(fd));
  }
  return layers;
}

std::optional<KeptLayers::Ground> KeptLayers::take(const store::Checkpoint& state, Part part,
                                                   const model::AttemptId& attempt) {
  const std::lock_guard lock(mutex_);
  const auto found = states_.find(state.run_id.str());
  if (found == states_.end()) return std::nullopt;
  auto layers = found->second.sha256 == state.sha256 ? open_layers(found->second) : std::nullopt;
  if (!layers) {
    base::log(base::LogLevel::warn, "a kept layer is missing or damaged; its archive is used instead",
              {{"runId", state.run_id.str()}});
    erase_state(found);
    return std::nullopt;
  }
  Stack use = found->second;
  if (part == Part::files) use.home_layers = 0;
  write("uses", attempt.str(), use);
  const timespec now[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  struct stat info{};
  const auto file = "states/" + found->first;
  ::utimensat(fd_.get(), file.c_str(), now, AT_SYMLINK_NOFOLLOW);
  if (::fstatat(fd_.get(), file.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) found->second.used = info.st_mtim;
  const unsigned home_layers = use.home_layers;
  uses_[attempt.str()] = std::move(use);
  return Ground{std::move(*layers), home_layers};
}

void KeptLayers::done(const model::AttemptId& attempt) {
  const std::lock_guard lock(mutex_);
  if (uses_.erase(attempt.str()) == 0) return;
  ::unlinkat(fd_.get(), ("uses/" + attempt.str()).c_str(), 0);
}

bool KeptLayers::keep(const model::AttemptId& attempt, const model::RunId& run, const std::string& sha256,
                      std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (const auto there = states_.find(run.str()); there != states_.end())
    return there->second.sha256 == sha256;
  if (bytes >= rules_.max_bytes) return false;
  Stack state;
  if (const auto use = uses_.find(attempt.str()); use != uses_.end()) state = use->second;
  // The turn behind this one begins anew, with one: that of its restored archive.
  if (state.layers.size() >= sandbox::max_kept_layers) return false;
  state.sha256 = sha256;
  state.layers.insert(state.layers.begin(), {run, bytes});
  state.home_layers += 1;
  const auto box = attempt.str() + "/" + sandbox::box_folder;
  if (::renameat2(attempts_.get(), box.c_str(), kept_.get(), run.str().c_str(), RENAME_NOREPLACE) != 0) {
    if (errno != ENOENT)
      base::log(base::LogLevel::warn, "what a turn has left cannot be kept as a layer",
                {{"runId", run.str()}, {"cause", std::string(std::strerror(errno))}});
    return false;
  }
  write("states", run.str(), state);
  struct stat info{};
  if (::fstatat(fd_.get(), ("states/" + run.str()).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
    state.used = info.st_mtim;
  states_.emplace(run.str(), std::move(state));
  return true;
}

void KeptLayers::forget(const model::RunId& run) {
  const std::lock_guard lock(mutex_);
  if (const auto found = states_.find(run.str()); found != states_.end()) erase_state(found);
}

// Layers that a state or an attempt stands on, and what each takes.
std::map<std::string, std::uint64_t> KeptLayers::needed() const {
  std::map<std::string, std::uint64_t> all;
  for (const auto* stacks : {&states_, &uses_}) {
    for (const auto& [name, stack] : *stacks)
      for (const auto& layer : stack.layers) all[layer.run.str()] = layer.bytes;
  }
  return all;
}

// Everything else is out of sight from now on.
void KeptLayers::put_away() {
  const auto wanted = needed();
  for (const auto& name : names_in(kept_.get())) {
    if (wanted.contains(name)) continue;
    (void)::renameat(kept_.get(), name.c_str(), gone_.get(), std::to_string(gone_count_++).c_str());
  }
}

void KeptLayers::make_room() {
  for (;;) {
    std::uint64_t bytes = 0;
    for (const auto& [name, size] : needed()) bytes += size;
    if (bytes <= rules_.max_bytes || states_.empty()) return;
    erase_state(std::min_element(states_.begin(), states_.end(), [](const auto& a, const auto& b) {
      return is_older(a.second.used, b.second.used);
    }));
  }
}

// In pieces, so that a server that stops need not wait for all of it.
bool KeptLayers::remove(const std::string& name) {
  for (;;) {
    const auto removed = sandbox::remove_tree(gone_.get(), name, {.time = std::chrono::milliseconds(50)});
    if (removed) return true;
    if (removed.error().code != base::Code::exhausted) {
      base::log(base::LogLevel::warn, "an old layer could not be removed", {{"cause", removed.error().message}});
      return false;
    }
    if (stopping_) return false;
  }
}

void KeptLayers::trim() {
  {
    const std::lock_guard lock(mutex_);
    make_room();
    put_away();
  }
  const std::unique_lock alone(removing_, std::try_to_lock);
  if (!alone) return;
  for (auto left = names_in(gone_.get()); !left.empty(); left = names_in(gone_.get())) {
    for (const auto& name : left) {
      if (stopping_ || !remove(name)) return;
    }
  }
}

}  // namespace agentrouter::worker
