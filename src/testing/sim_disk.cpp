#include "testing/sim_disk.h"

#include <algorithm>

namespace agentrouter::testing {

// One more thing that changes the disk.
SimDisk::Status SimDisk::step() {
  if (steps_ >= last_step_) return Status::io;
  ++steps_;
  return Status::ok;
}

std::uint64_t SimDisk::used() const {
  std::uint64_t sum = 0;
  for (const auto& [name, file] : files_) sum += std::max<std::uint64_t>(file.now.size(), file.allocated);
  return sum;
}

void SimDisk::apply(std::string& bytes, const Change& change) {
  if (change.cuts) {
    bytes.resize(change.offset);
    return;
  }
  const auto end = change.offset + change.bytes.size();
  if (bytes.size() < end) bytes.resize(end);
  bytes.replace(change.offset, change.bytes.size(), change.bytes);
}

bool SimDisk::exists(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return files_.contains(name);
}

SimDisk::Status SimDisk::write(const std::string& name, std::uint64_t offset, std::string_view bytes,
                               std::size_t& written) {
  const std::lock_guard lock(mutex_);
  written = 0;
  if (const auto alive = step(); alive != Status::ok) return alive;
  if (writes_left_ > 0) --writes_left_;
  if (writes_left_ == 0) return write_status_;
  if (cuts_ && bytes.size() > 1) bytes = bytes.substr(0, 1 + random_() % bytes.size());
  auto& file = files_[name];
  const auto has = std::max<std::uint64_t>(file.now.size(), file.allocated);
  const auto others = used() - has;
  const auto room = capacity_ == UINT64_MAX ? UINT64_MAX : std::max(capacity_ - std::min(others, capacity_), has);
  if (offset >= room) return Status::full;
  bytes = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), room - offset)));
  written = bytes.size();
  while (!bytes.empty()) {
    const auto piece = std::min<std::uint64_t>(bytes.size(), sector - offset % sector);
    file.pending.push_back({offset, std::string(bytes.substr(0, piece))});
    apply(file.now, file.pending.back());
    offset += piece;
    bytes.remove_prefix(piece);
  }
  return Status::ok;
}

SimDisk::Status SimDisk::read(const std::string& name, std::uint64_t offset, std::size_t size,
                              std::string& bytes) const {
  const std::lock_guard lock(mutex_);
  bytes.clear();
  if (reads_fail_) return Status::io;
  const auto found = files_.find(name);
  if (found == files_.end()) return Status::missing;
  if (offset < found->second.now.size()) bytes = found->second.now.substr(offset, size);
  return Status::ok;
}

SimDisk::Status SimDisk::truncate(const std::string& name, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (const auto alive = step(); alive != Status::ok) return alive;
  if (writes_left_ == 0) return write_status_;
  auto& file = files_[name];
  file.allocated = 0;
  file.pending.push_back({.offset = size, .bytes = {}, .cuts = true});
  apply(file.now, file.pending.back());
  return Status::ok;
}

SimDisk::Status SimDisk::allocate(const std::string& name, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (steps_ >= last_step_) return Status::io;
  auto& file = files_[name];
  const auto has = std::max<std::uint64_t>(file.now.size(), file.allocated);
  if (size > has && used() - has + size > capacity_) return Status::full;
  file.allocated = std::max(file.allocated, size);
  return Status::ok;
}

SimDisk::Status SimDisk::sync(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (const auto alive = step(); alive != Status::ok) return alive;
  const auto found = files_.find(name);
  if (found == files_.end()) return Status::missing;
  auto& file = found->second;
  if (syncs_to_fail_ > 0 && (fails_only_.empty() || fails_only_ == name)) {
    --syncs_to_fail_;
    settle(file);
    return Status::io;
  }
  ++syncs_;
  if (drops_syncs_) return Status::ok;
  for (const auto& change : file.pending) apply(file.durable, change);
  file.pending.clear();
  file.named = true;
  return Status::ok;
}

SimDisk::Status SimDisk::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (const auto alive = step(); alive != Status::ok) return alive;
  return files_.erase(name) == 0 ? Status::missing : Status::ok;
}

SimDisk::Status SimDisk::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  if (const auto alive = step(); alive != Status::ok) return alive;
  auto moved = files_.extract(from);
  if (moved.empty()) return Status::missing;
  files_.erase(to);
  moved.key() = to;
  moved.mapped().named = true;
  files_.insert(std::move(moved));
  return Status::ok;
}

std::uint64_t SimDisk::size(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(name);
  return found == files_.end() ? 0 : found->second.now.size();
}

std::string SimDisk::content(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(name);
  return found == files_.end() ? std::string() : found->second.now;
}

void SimDisk::die_at(std::uint64_t step) {
  const std::lock_guard lock(mutex_);
  last_step_ = step;
}

void SimDisk::set_capacity(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

void SimDisk::fail_syncs(int count, std::string only) {
  const std::lock_guard lock(mutex_);
  syncs_to_fail_ = count;
  fails_only_ = std::move(only);
}

void SimDisk::fail_writes(Status status, int after) {
  const std::lock_guard lock(mutex_);
  write_status_ = status;
  writes_left_ = after;
}

void SimDisk::fail_reads(bool fail) {
  const std::lock_guard lock(mutex_);
  reads_fail_ = fail;
}

void SimDisk::cut_writes(bool cut) {
  const std::lock_guard lock(mutex_);
  cuts_ = cut;
}

void SimDisk::drop_syncs(bool drop) {
  const std::lock_guard lock(mutex_);
  drops_syncs_ = drop;
}

void SimDisk::heal() {
  const std::lock_guard lock(mutex_);
  last_step_ = UINT64_MAX;
  capacity_ = UINT64_MAX;
  syncs_to_fail_ = 0;
  writes_left_ = -1;
  reads_fail_ = cuts_ = drops_syncs_ = false;
}

// Some of what was not synced is on the disk, and nothing will ever write the rest.
void SimDisk::settle(File& file) {
  auto changes = std::move(file.pending);
  file.pending.clear();
  std::shuffle(changes.begin(), changes.end(), random_);
  changes.resize(random_() % (changes.size() + 1));
  for (const auto& change : changes) apply(file.durable, change);
  file.named = file.named || random_() % 2 == 0;
}

void SimDisk::lose_power() {
  {
    const std::lock_guard lock(mutex_);
    for (auto place = files_.begin(); place != files_.end();) {
      auto& file = place->second;
      settle(file);
      file.now = file.durable;
      file.allocated = file.now.size();
      place = file.named ? std::next(place) : files_.erase(place);
    }
    steps_ = 0;
  }
  heal();
}

SimDisk::Image SimDisk::image() const {
  const std::lock_guard lock(mutex_);
  Image image;
  for (const auto& [name, file] : files_) image[name] = file.now;
  return image;
}

void SimDisk::load(const Image& image) {
  {
    const std::lock_guard lock(mutex_);
    files_.clear();
    for (const auto& [name, bytes] : image)
      files_[name] = {.now = bytes, .durable = bytes, .named = true, .allocated = 0, .pending = {}};
    steps_ = 0;
  }
  heal();
}

void SimDisk::flip(const std::string& name, std::uint64_t offset, int bit) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(name);
  if (found == files_.end()) return;
  for (auto* bytes : {&found->second.now, &found->second.durable}) {
    if (offset < bytes->size()) (*bytes)[offset] = static_cast<char>((*bytes)[offset] ^ (1 << bit));
  }
}

std::uint64_t SimDisk::steps() const {
  const std::lock_guard lock(mutex_);
  return steps_;
}

std::uint64_t SimDisk::syncs() const {
  const std::lock_guard lock(mutex_);
  return syncs_;
}

bool SimDisk::all_synced() const {
  const std::lock_guard lock(mutex_);
  return std::all_of(files_.begin(), files_.end(), [](const auto& entry) { return entry.second.pending.empty(); });
}

}  // namespace agentrouter::testing
