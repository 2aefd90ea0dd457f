#include "sandbox/spec.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "base/id.h"
#include "sandbox/oci/libraries.h"

namespace agentrouter::sandbox {

static_assert(max_kept_layers == init::max_layers);
static_assert(max_outbound_ports == init::max_outbound);

namespace {

using base::Code;
using base::fail;
using base::Result;

// An absolute path without "." and ".." that does not take the place of something the sandbox makes itself.
bool is_place(std::string_view path) {
  if (path.size() < 2 || path.size() > 1024 || path[0] != '/' || path.back() == '/') return false;
  std::size_t start = 1;
  while (start <= path.size()) {
    const auto end = std::min(path.find('/', start), path.size());
    const auto part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == ".." || part.size() > NAME_MAX) return false;
    start = end + 1;
  }
  for (const char* taken : {"/proc", "/dev", "/tmp", "/.init", workspace_path}) {
    if (path == taken || path.starts_with(std::string(taken) + "/")) return false;
  }
  return path != "/home" && path != home_path;
}

// What shows a folder of this machine's own data somewhere inside.
bool is_veiled(const Bind& bind) {
  const auto is_common = [](std::string_view path) { return path.starts_with("/usr") || path.starts_with("/etc"); };
  return !is_common(bind.to) || !is_common(bind.from.native());
}

class Writer {
 public:
  explicit Writer(init::Spec& spec) : spec_(spec) { put(""); }

  // Returns the offset; 0 is the empty string. Sets `full` when it does not fit.
  std::uint32_t put(std::string_view text) {
    if (text.size() + 1 > init::max_text - spec_.text_size) {
      full = true;
      return 0;
    }
    const auto offset = spec_.text_size;
    std::memcpy(spec_.text + offset, text.data(), text.size());
    spec_.text[offset + text.size()] = 0;
    spec_.text_size += static_cast<std::uint32_t>(text.size()) + 1;
    return offset;
  }
  bool full = false;

 private:
  init::Spec& spec_;
};

Result<void> put_binds(const Plan& plan, init::Spec& spec, Writer& writer, EncodedLaunch& result) {
  for (const auto& bind : plan.binds) {
    base::Fd source(::open(bind.from.c_str(), O_PATH | O_CLOEXEC));
    struct stat info{};
    if (!source || ::fstat(source.get(), &info) != 0) {
      if (bind.missing == Missing::skip && errno == ENOENT) continue;
      return base::fail_errno("cannot show " + bind.from.string() + " in the sandbox", errno);
    }
    if (spec.bind_count == init::max_binds) return fail(Code::invalid, "cannot show that many folders");
    if (!is_place(bind.to)) return fail(Code::invalid, "cannot show a folder as " + bind.to);
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
      return fail(Code::invalid, "cannot show " + bind.from.string() + ": neither file nor folder");
    }
    const std::uint32_t is_folder = S_ISDIR(info.st_mode) ? 1 : 0;
    const std::uint32_t veiled = is_folder && is_veiled(bind) ? 1 : 0;
    spec.binds[spec.bind_count++] = {writer.put(bind.to), veiled, is_folder, bind.of_run ? 1u : 0u};
    result.fds.push_back(source.get());
    result.opened.push_back(std::move(source));
  }
  return {};
}

Result<void> put_files(const Plan& plan, init::Spec& spec, Writer& writer) {
  for (const auto& file : plan.files) {
    if (spec.file_count == init::max_files) return fail(Code::invalid, "cannot make that many files");
    if (!is_place(file.path)) return fail(Code::invalid, "cannot make a file at " + file.path);
    const auto path = writer.put(file.path);
    spec.files[spec.file_count++] = {path, writer.put(file.content),
                                     static_cast<std::uint32_t>(file.content.size())};
  }
  return {};
}

Result<void> put_emptied(const Plan& plan, init::Spec& spec, Writer& writer) {
  for (const auto& folder : plan.emptied) {
    if (spec.emptied_count == init::max_emptied) return fail(Code::invalid, "cannot empty that many folders");
    if (!is_place(folder)) return fail(Code::invalid, "cannot empty the folder " + folder);
    spec.emptied[spec.emptied_count++] = writer.put(folder);
  }
  return {};
}

// /bin, /lib... as the host has them: links into /usr. A host that has real folders there is shown them.
Result<void> put_system_links(init::Spec& spec, Writer& writer, Plan& plan) {
  for (const char* path : {"/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"}) {
    char target[PATH_MAX];
    const auto size = ::readlink(path, target, sizeof target);
    if (size > 0) {
      const auto link = writer.put(path);
      spec.links[spec.link_count++] = {link, writer.put({target, static_cast<std::size_t>(size)})};
    } else if (errno == EINVAL) {
      plan.binds.push_back({path, path, Missing::skip});
    }
  }
  const auto release = writer.put("/etc/os-release");
  spec.links[spec.link_count++] = {release, writer.put("../usr/lib/os-release")};
  return {};
}

// Our own programs are dynamic and an image has other libraries, or none: they bring theirs with them.
Result<void> put_image(int image, init::Spec& spec, EncodedLaunch& result) {
  AGENTROUTER_TRY(auto libraries, open_own_libraries());
  if (libraries.folders.size() > init::max_libraries)
    return fail(Code::unsupported, "cannot use an image: this program's libraries are in too many folders");
  spec.has_image = 1;
  spec.library_count = static_cast<std::uint32_t>(libraries.folders.size());
  result.fds.push_back(image);
  const auto put = [&result](base::Fd fd) {
    result.fds.push_back(fd.get());
    result.opened.push_back(std::move(fd));
  };
  if (!libraries.folders.empty()) put(std::move(libraries.loader));
  for (auto& folder : libraries.folders) put(std::move(folder));
  return {};
}

std::uint32_t image_sources(const init::Spec& spec) {
  if (!spec.has_image) return 0;
  return spec.library_count == 0 ? 1 : 2 + spec.library_count;
}

void put_limits(const Plan& plan, init::Spec& spec) {
  const auto& limits = plan.limits;
  spec.read_only_workspace = plan.workspace == WorkspaceMode::read_only ? 1 : 0;
  spec.memory_bytes = limits.memory_bytes;
  spec.file_bytes = limits.file_bytes;
  spec.tmp_bytes = limits.tmp_bytes;
  spec.shm_bytes = limits.shm_bytes;
  spec.tmp_inodes = limits.tmp_inodes;
  spec.pids = limits.pids;
  spec.cpu_percent = limits.cpu_percent;
  spec.open_files = limits.open_files;
  spec.disk_bytes = limits.disk_bytes;
  spec.disk_inodes = limits.disk_inodes;
  spec.disk_reserve = limits.disk_reserve_bytes;
  spec.memory_reserve = limits.memory_reserve_bytes;
  spec.disk_reserve_inode_percent = limits.disk_reserve_inode_percent;
  spec.machine_memory = plan.machine.memory_bytes;
  spec.machine_pids = plan.machine.pids;
  spec.machine_cpu = plan.machine.cpu_percent;
  spec.demand_cgroup = plan.demand == LimitsDemand::cgroup ? 1 : 0;
}

Result<void> put_outbound(const Plan& plan, init::Spec& spec) {
  if (plan.outbound_ports.size() > init::max_outbound) return fail(Code::invalid, "cannot let out to that many ports");
  for (const auto port : plan.outbound_ports) spec.outbound_ports[spec.outbound_count++] = port;
  return {};
}

bool are_good_ports(const init::Spec& spec) {
  if (spec.outbound_count > init::max_outbound) return false;
  for (std::uint32_t i = 0; i < spec.outbound_count; ++i) {
    if (spec.outbound_ports[i] == 0) return false;
    for (std::uint32_t k = 0; k < i; ++k) {
      if (spec.outbound_ports[k] == spec.outbound_ports[i]) return false;
    }
  }
  return true;
}

bool is_text(const init::Spec& spec, std::uint32_t offset) {
  return offset < spec.text_size && std::memchr(spec.text + offset, 0, spec.text_size - offset) != nullptr;
}

bool is_place_at(const init::Spec& spec, std::uint32_t offset) {
  return is_text(spec, offset) && is_place(spec.text + offset);
}

Result<void> check_spec(const init::Spec& spec) {
  const auto refuse = [](const char* part) {
    return fail(Code::invalid, std::string("cannot launch: bad ") + part);
  };
  if (spec.version != init::version) return refuse("version");
  if (spec.text_size == 0 || spec.text_size > init::max_text) return refuse("text");
  if (spec.bind_count > init::max_binds || spec.file_count > init::max_files ||
      spec.link_count > init::max_links || spec.layer_count > init::max_layers ||
      spec.emptied_count > init::max_emptied || spec.home_layers > spec.layer_count || spec.has_image > 1 ||
      spec.library_count > init::max_libraries) {
    return refuse("count");
  }
  for (std::uint32_t i = 0; i < spec.bind_count; ++i) {
    if (!is_place_at(spec, spec.binds[i].to) || spec.binds[i].of_run > 1) return refuse("bind");
  }
  for (std::uint32_t i = 0; i < spec.file_count; ++i) {
    const auto& file = spec.files[i];
    if (!is_place_at(spec, file.path) || !is_text(spec, file.content)) return refuse("file");
    if (file.size >= spec.text_size - file.content) return refuse("file");
  }
  for (std::uint32_t i = 0; i < spec.link_count; ++i) {
    if (!is_place_at(spec, spec.links[i].path) || !is_text(spec, spec.links[i].target)) return refuse("link");
  }
  for (std::uint32_t i = 0; i < spec.emptied_count; ++i) {
    if (!is_place_at(spec, spec.emptied[i])) return refuse("folder");
  }
  if (spec.memory_bytes < (64u << 20) || spec.pids < 8 || spec.open_files < 64 || spec.cpu_percent == 0 ||
      spec.cpu_percent > 100'000 || spec.tmp_inodes < 16 || spec.memory_bytes > (1ull << 50) ||
      spec.file_bytes < 4096 || spec.tmp_bytes < 4096 || spec.shm_bytes < 4096 ||
      spec.disk_bytes < (1u << 20) || spec.disk_bytes > (1ull << 50) || spec.disk_inodes < 64 ||
      spec.disk_inodes > (1ull << 40) || spec.disk_reserve > (1ull << 50) ||
      spec.disk_reserve_inode_percent > 1000 || spec.memory_reserve > (1ull << 50) ||
      spec.machine_memory > (1ull << 50) ||
      spec.machine_pids > (1ull << 32) || spec.machine_cpu > 100'000) {
    return refuse("limits");
  }
  if (!are_good_ports(spec)) return refuse("ports");
  return {};
}

}  // namespace

Result<void> check_attempt_id(std::string_view id) {
  if (base::is_prefixed_uuid(id, "attempt_")) return {};
  return fail(Code::invalid, "cannot use this attempt's id: it is not attempt_<uuid>");
}

Result<EncodedLaunch> encode(const LaunchRequest& request) {
  if (auto good = check_attempt_id(request.attempt.id); !good) return tl::unexpected(good.error());
  if (request.slot >= UidRange::slots) return fail(Code::invalid, "cannot launch: no such slot");
  EncodedLaunch result;
  result.bytes.resize(sizeof(LaunchRecord));
  auto& record = *reinterpret_cast<LaunchRecord*>(result.bytes.data());
  record.spec.version = init::version;
  record.slot = request.slot;
  record.warm = request.warm;
  record.at_slot = request.range == Range::at_slot ? 1 : 0;
  std::memcpy(record.attempt_id, request.attempt.id.data(), request.attempt.id.size());
  for (const auto& argument : request.keeper_argv) {
    if (record.argv_size + argument.size() + 1 > max_keeper_argv) {
      return fail(Code::invalid, "cannot launch: the keeper's arguments are too long");
    }
    std::memcpy(record.argv + record.argv_size, argument.c_str(), argument.size() + 1);
    record.argv_size += static_cast<std::uint32_t>(argument.size()) + 1;
  }
  result.fds = {request.attempt.attempts};
  if (request.lower >= 0) {
    record.has_lower = 1;
    result.fds.push_back(request.lower);
  }
  if (request.plan_pipe >= 0) {
    record.has_plan_pipe = 1;
    result.fds.push_back(request.plan_pipe);
  }
  if (request.layers.size() > max_kept_layers || request.home_layers > request.layers.size())
    return fail(Code::invalid, "cannot launch: too many kept layers");
  record.spec.layer_count = static_cast<std::uint32_t>(request.layers.size());
  record.spec.home_layers = request.home_layers;
  result.fds.insert(result.fds.end(), request.layers.begin(), request.layers.end());
  put_limits(request.plan, record.spec);
  if (auto done = put_outbound(request.plan, record.spec); !done) return tl::unexpected(done.error());
  Writer writer(record.spec);
  Plan plan = request.plan;
  if (request.image < 0) {
    if (auto done = put_system_links(record.spec, writer, plan); !done) return tl::unexpected(done.error());
  }
  if (auto done = put_binds(plan, record.spec, writer, result); !done) return tl::unexpected(done.error());
  if (auto done = put_files(plan, record.spec, writer); !done) return tl::unexpected(done.error());
  if (request.image >= 0) {
    if (auto done = put_emptied(plan, record.spec, writer); !done) return tl::unexpected(done.error());
    if (auto done = put_image(request.image, record.spec, result); !done) return tl::unexpected(done.error());
  }
  if (writer.full) return fail(Code::invalid, "cannot launch: paths and files are too long together");
  return result;
}

Result<CheckedLaunch> check(const LaunchRecord& record, const std::vector<int>& fds) {
  if (auto good = check_spec(record.spec); !good) return tl::unexpected(good.error());
  if (record.slot >= UidRange::slots || record.argv_size == 0 || record.argv_size > max_keeper_argv ||
      record.argv[record.argv_size - 1] != 0 || record.has_lower > 1 || record.at_slot > 1 || record.has_plan_pipe > 1 ||
      record.warm > max_warm ||
      std::memchr(record.attempt_id, 0, max_attempt_id) == nullptr) {
    return fail(Code::invalid, "cannot launch: bad request");
  }
  const auto before_layers = 1u + record.has_lower + record.has_plan_pipe;
  const auto before_binds = before_layers + record.spec.layer_count;
  const auto before_image = before_binds + record.spec.bind_count;
  if (fds.size() != before_image + image_sources(record.spec)) {
    return fail(Code::invalid, "cannot launch: bad number of descriptors");
  }
  CheckedLaunch result;
  result.record = &record;
  result.slot = record.slot;
  result.attempt = {fds[0], record.attempt_id};
  if (auto good = check_attempt_id(result.attempt.id); !good) return tl::unexpected(good.error());
  if (record.has_lower) result.lower = fds[1];
  if (record.has_plan_pipe) result.plan_pipe = fds[1 + record.has_lower];
  result.layers.assign(fds.begin() + before_layers, fds.begin() + before_binds);
  result.binds.assign(fds.begin() + before_binds, fds.begin() + before_image);
  result.image.assign(fds.begin() + before_image, fds.end());
  for (const char* next = record.argv; next < record.argv + record.argv_size;
       next += result.keeper_argv.back().size() + 1) {
    result.keeper_argv.emplace_back(next);
  }
  return result;
}

}  // namespace agentrouter::sandbox
