#include "sandbox/oci/config.h"

#include "base/json.h"
#include "sandbox/init/protocol.h"
#include "sandbox/start.h"

namespace agentrouter::sandbox {
namespace {

json::array strings(std::initializer_list<const char*> all) {
  json::array result;
  for (const char* one : all) result.emplace_back(one);
  return result;
}

// The same as the process driver gives its init.
json::object guest_capabilities() {
  const auto all =
      strings({"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
               "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN",
               "CAP_SYS_CHROOT", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_RESOURCE"});
  return {{"bounding", all}, {"effective", all}, {"permitted", all}, {"inheritable", all}, {"ambient", all}};
}

json::array id_mappings(const std::optional<UidRange>& range) {
  const auto line = [](std::uint32_t inside, std::uint32_t outside, std::uint32_t count) {
    return json::object{{"containerID", inside}, {"hostID", outside}, {"size", count}};
  };
  if (!range) return {line(agent_uid, 0, 1)};
  json::array lines;
  for (const auto& span : spans_of(*range)) lines.push_back(line(span.inside, span.outside, span.count));
  return lines;
}

json::array container_mounts(const std::vector<std::string>& sources) {
  json::array mounts = {
      json::object{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
      json::object{{"destination", "/dev"},
                   {"type", "tmpfs"},
                   {"source", "tmpfs"},
                   {"options", strings({"nosuid", "mode=755", "size=64k"})}}};
  for (std::size_t i = 0; i < sources.size(); ++i) {
    auto options = strings({"rbind", "nosuid", "nodev"});
    options.emplace_back(i == 0 ? "rw" : "ro");
    mounts.push_back(json::object{{"destination", source_place(i)},
                                  {"type", "bind"},
                                  {"source", sources[i]},
                                  {"options", std::move(options)}});
  }
  return mounts;
}

}  // namespace

std::string source_place(std::size_t index) {
  return "/sources/" + std::to_string(index);
}

std::string container_config(const ContainerShape& shape) {
  const std::uint32_t id = shape.range ? 0 : agent_uid;
  json::array namespaces;
  for (const char* type : {"user", "mount", "pid", "network", "ipc", "uts"})
    namespaces.push_back(json::object{{"type", type}});
  const auto ids = id_mappings(shape.range);
  return base::to_text(json::object{
      {"ociVersion", "1.0.0"},
      {"process",
       json::object{{"terminal", false},
                    {"user", json::object{{"uid", id}, {"gid", id}}},
                    {"args", strings({"/init", init::guest_word})},
                    {"env", json::array()},
                    {"cwd", "/"},
                    {"capabilities", guest_capabilities()}}},
      {"root", json::object{{"path", "rootfs"}, {"readonly", false}}},
      {"mounts", container_mounts(shape.sources)},
      {"linux",
       json::object{{"namespaces", std::move(namespaces)}, {"uidMappings", ids}, {"gidMappings", ids}}}});
}

}  // namespace agentrouter::sandbox
