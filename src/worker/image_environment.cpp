#include "worker/image_environment.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace agentrouter::worker {
namespace {

constexpr std::array<std::string_view, 3> taste{"LANG", "TZ", "TERM"};

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

std::string_view value_of(std::string_view variable) {
  return variable.substr(std::min(variable.size(), variable.find('=') + 1));
}

// Folders of the agent's own, which an image does not have.
std::string own_folders(std::string_view path) {
  std::string own;
  while (!path.empty()) {
    const auto folder = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(path.size(), folder.size() + 1));
    if (folder.starts_with("/opt/")) own.append(folder).append(":");
  }
  return own;
}

}  // namespace

void take_environment(agents::AgentProgram& program, const ImageRoot& image) {
  const auto find = [&program](std::string_view name) {
    return std::ranges::find_if(program.env, [name](const std::string& one) { return name_of(one) == name; });
  };
  const auto set = [&](std::string_view name, std::string value) {
    const auto there = find(name);
    auto variable = std::string(name) + "=" + std::move(value);
    if (there == program.env.end()) {
      program.env.push_back(std::move(variable));
    } else {
      *there = std::move(variable);
    }
  };
  for (const auto& variable : image.environment) {
    const auto name = name_of(variable);
    const auto there = find(name);
    if (name == "PATH") {
      set(name, (there == program.env.end() ? "" : own_folders(value_of(*there))) + std::string(value_of(variable)));
    } else if (there == program.env.end() || std::ranges::find(taste, name) != taste.end()) {
      set(name, std::string(value_of(variable)));
    }
  }
  set("SHELL", image.shell);
}

}  // namespace agentrouter::worker
