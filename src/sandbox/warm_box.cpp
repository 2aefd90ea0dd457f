#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/id.h"
#include "sandbox/warm.h"

namespace agentrouter::sandbox {
namespace {

using base::Result;

bool is_common(const init::BindSpec& bind) {
  return bind.of_run == 0;
}

// What launches have in common, and nothing else: limits that are of the run are set once it is there.
void copy_common(init::Spec& to, const init::Spec& from) {
  to.version = from.version;
  to.tmp_bytes = from.tmp_bytes;
  to.tmp_inodes = from.tmp_inodes;
  to.shm_bytes = from.shm_bytes;
  to.machine_memory = from.machine_memory;
  to.machine_pids = from.machine_pids;
  to.machine_cpu = from.machine_cpu;
  to.outbound_count = from.outbound_count;
  std::memcpy(to.outbound_ports, from.outbound_ports, sizeof to.outbound_ports);
  const auto put = [&](std::uint32_t offset) {
    const char* text = from.text + offset;
    const auto size = std::strlen(text) + 1;
    const auto at = to.text_size;
    std::memcpy(to.text + at, text, size);
    to.text_size += static_cast<std::uint32_t>(size);
    return at;
  };
  to.text_size = 1;  // the empty string
  for (std::uint32_t i = 0; i < from.bind_count; ++i) {
    const auto& bind = from.binds[i];
    if (is_common(bind)) to.binds[to.bind_count++] = {put(bind.to), bind.veiled, bind.is_folder, 0};
  }
  for (std::uint32_t i = 0; i < from.link_count; ++i) {
    const auto path = put(from.links[i].path);
    to.links[to.link_count++] = {path, put(from.links[i].target)};
  }
}

template <class Value>
void append(std::string& to, const Value& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string key_with(const init::Spec& common, const CheckedLaunch& launch) {
  std::string key(reinterpret_cast<const char*>(&common), offsetof(init::Spec, text));
  key.append(common.text, common.text_size);
  for (std::uint32_t i = 0; i < common.outbound_count; ++i) append(key, common.outbound_ports[i]);
  append(key, common.outbound_count);
  append(key, common.machine_memory);
  append(key, common.machine_pids);
  append(key, common.machine_cpu);
  for (std::size_t i = 0; i < launch.binds.size(); ++i) {
    if (!is_common(launch.record->spec.binds[i])) continue;
    struct stat info{};
    (void)::fstat(launch.binds[i], &info);
    append(key, info.st_dev);
    append(key, info.st_ino);
  }
  key += cgroup_prefix(launch.attempt.attempts);
  if (launch.record->at_slot) append(key, launch.record->slot);
  return key;
}

Limits limits_of(const init::Spec& spec) {
  Limits limits;
  limits.memory_bytes = spec.memory_bytes;
  limits.pids = spec.pids;
  limits.cpu_percent = spec.cpu_percent;
  return limits;
}

MachineLimits machine_of(const init::Spec& spec) {
  return {spec.machine_memory, spec.machine_pids, spec.machine_cpu};
}

}  // namespace

std::string BoxKind::key_of(const CheckedLaunch& launch) {
  const auto common = std::make_unique<init::Spec>();
  copy_common(*common, launch.record->spec);
  return key_with(*common, launch);
}

Result<BoxKind> BoxKind::of(const CheckedLaunch& launch) {
  BoxKind kind;
  kind.record_ = std::make_unique<LaunchRecord>();
  copy_common(kind.record_->spec, launch.record->spec);
  kind.record_->slot = launch.record->slot;
  kind.record_->at_slot = launch.record->at_slot;
  kind.key_ = key_with(kind.record_->spec, launch);
  kind.groups_ = cgroup_prefix(launch.attempt.attempts);
  kind.around_ = cgroup_around(launch.attempt.attempts);
  for (std::size_t i = 0; i < launch.binds.size(); ++i) {
    if (!is_common(launch.record->spec.binds[i])) continue;
    kind.binds_.emplace_back(::fcntl(launch.binds[i], F_DUPFD_CLOEXEC, 3));
    if (!kind.binds_.back()) return base::fail_errno("cannot keep a source", errno);
  }
  return kind;
}

Result<StandingBox> BoxKind::make() const {
  AGENTROUTER_TRY(auto ids, IdLock::take(record_->slot, record_->at_slot ? Range::at_slot : Range::next));
  const auto site = find_cgroup_site();
  StandingBox box{std::move(ids), {}, {}, site.mode};
  if (!site.unified.empty() || !site.v1.empty()) {
    const auto label = groups_ + (warm_word + 1) + base::new_uuid(base::system_entropy());
    AGENTROUTER_TRY(auto made, CgroupSet::make(site, label, {}, {around_, machine_of(record_->spec)}));
    box.cgroups.emplace(std::move(made));
  }
  CheckedLaunch launch;
  launch.record = record_.get();
  launch.slot = box.ids.slot();
  for (const auto& bind : binds_) launch.binds.push_back(bind.get());
  AGENTROUTER_TRY(const auto prepared, prepare_setup(launch, -1, box.mode, {}, init::part_common));
  AGENTROUTER_TRY(box.init, begin_init(UidRange::of_slot(launch.slot), prepared.setup->own_map != 0,
                                       box.cgroups ? &*box.cgroups : nullptr));
  if (auto done = finish_common(box.init, prepared); !done) return tl::unexpected(done.error());
  return box;
}

Result<void> claim(StandingBox& box, CheckedLaunch& launch, int attempt_dir) {
  launch.slot = box.ids.slot();
  const auto& spec = launch.record->spec;
  AGENTROUTER_TRY(const auto prepared, prepare_setup(launch, attempt_dir, box.mode, {}, init::part_run));
  if (box.cgroups) {
    auto adopted = box.cgroups->adopt(cgroup_label(launch.attempt), limits_of(spec), {"", machine_of(spec)});
    if (!adopted) return adopted;
  }
  return finish_setup(box.init, prepared);
}

}  // namespace agentrouter::sandbox
