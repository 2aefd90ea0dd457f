#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "apps/agent_store.h"
#include "apps/commands.h"
#include "apps/config.h"
#include "apps/flags.h"
#include "base/json.h"
#include "sandbox/doctor.h"
#include "sandbox/seccomp.h"
#include "sandbox/oci/probe.h"

namespace agentrouter::apps {

namespace {

// The nearest folder that exists: where the data folder is or will be made.
std::string existing_parent(std::filesystem::path path) {
  std::error_code ignored;
  while (!std::filesystem::is_directory(path, ignored) && path.has_parent_path() &&
         path != path.parent_path())
    path = path.parent_path();
  return path.string();
}

sandbox::Probe agent_probe(const PinnedAgent& agent, const Environment& environment, bool root) {
  AgentStore agents(default_paths(environment, root).agents);
  model::Runtime runtime;
  if (agent.name == "claude_code") runtime.kind = model::RuntimeKind::claude_code;
  const auto found = agents.prepare({.runtime = runtime, .model = "any", .simulated = true});
  sandbox::Probe probe;
  probe.name = agent.name;
  probe.found = found ? sandbox::Found::ok : sandbox::Found::missing;
  probe.detail = found ? agent.version : found.error().message;
  if (!found) probe.remedy = "agentrouter agents install " + agent.name;
  return probe;
}

// The store of artifacts, when the configuration names one elsewhere.
std::optional<sandbox::Probe> blob_probe(const Flags& flags, const Environment& environment, bool root) {
  Flags asked;
  if (const auto data = flags.value("data")) asked.values["data"] = {*data};
  const auto config = load_config(asked, environment, root);
  if (config && !config->blobs.is_s3()) return std::nullopt;
  sandbox::Probe probe;
  probe.name = "blobs";
  probe.found = sandbox::Found::missing;
  probe.remedy = "correct [blobs] in agentrouter.toml: docs/operating.md";
  if (!config) {
    probe.detail = config.error().message;
    return probe;
  }
  // Of its own: a server may be using the one of the data folder.
  std::string scratch = (std::filesystem::temp_directory_path() / "agentrouter-doctor-XXXXXX").string();
  if (::mkdtemp(scratch.data()) == nullptr) return probe;
  const auto store = open_s3_blobs(config->blobs, scratch);
  const auto works = store ? (*store)->check() : base::Result<void>(tl::unexpected(store.error()));
  std::error_code ignored;
  std::filesystem::remove(scratch, ignored);
  probe.detail = works ? config->blobs.url + " puts, gets, lists and deletes" : works.error().message;
  if (works) {
    probe.found = sandbox::Found::ok;
    probe.remedy.clear();
  }
  return probe;
}

void print(const sandbox::Probe& probe) {
  std::cout << (probe.found == sandbox::Found::ok         ? "  ok        "
                : probe.found == sandbox::Found::degraded ? "  degraded  "
                                                          : "  MISSING   ")
            << probe.name << ": " << probe.detail << "\n";
  if (!probe.remedy.empty()) std::cout << "            -> " << probe.remedy << "\n";
}

}  // namespace

int doctor_command(const std::vector<std::string>& arguments, const Environment& environment) {
  const auto flags = parse_flags(arguments, {.values = {"data"}, .switches = {"json", "seccomp", "help"}});
  if (!flags || flags->has("help")) {
    (flags ? std::cout : std::cerr) << "Usage: agentrouter doctor [--data DIR] [--json | --seccomp]\n\n"
                                       "Says what this machine can and cannot do, and how to fix it. Exit "
                                       "code 1: agents cannot be confined here.\n\n"
                                       "Example: agentrouter doctor\n";
    return flags ? 0 : 2;
  }
  if (flags->has("seccomp")) {
    std::cout << sandbox::seccomp_table();
    return 0;
  }
  const bool root = ::geteuid() == 0;
  auto probes = sandbox::probe_machine(
      existing_parent(flags->value("data").value_or(default_paths(environment, root).data)));
  for (const auto& agent : pinned_agents()) probes.push_back(agent_probe(agent, environment, root));
  probes.push_back(sandbox::probe_images(
      existing_parent(flags->value("data").value_or(default_paths(environment, root).data))));
  if (auto blobs = blob_probe(*flags, environment, root)) probes.push_back(std::move(*blobs));
  const auto required = sandbox::require(probes);
  if (flags->has("json")) {
    json::array items;
    for (const auto& probe : probes) {
      items.push_back({{"name", probe.name},
                       {"found", to_string(probe.found)},
                       {"required", probe.required},
                       {"detail", probe.detail},
                       {"remedy", probe.remedy}});
    }
    std::cout << base::to_text(json::object{{"ok", required.has_value()}, {"items", items}}) << "\n";
    return required ? 0 : 1;
  }
  std::cout << "AgentRouter on this machine, as " << (root ? "root" : "a plain user") << ":\n";
  for (const auto& probe : probes) print(probe);
  std::cout << (required ? "Agents can be confined here.\n"
                         : "Agents cannot be confined here: " + required.error().message + "\n");
  return required ? 0 : 1;
}

}  // namespace agentrouter::apps
