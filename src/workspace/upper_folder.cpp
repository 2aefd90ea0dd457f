#include "workspace/upper_folder.h"

namespace agentrouter::workspace {

using base::Result;

UpperFolder::operator bool() const {
  return std::visit([](const auto& folder) { return static_cast<bool>(folder); }, folder_);
}

Node UpperFolder::stat(const std::string& name) const {
  return std::visit([&](const auto& folder) { return folder.stat(name); }, folder_);
}

Result<UpperFolder> UpperFolder::open(const std::string& name) const {
  return std::visit(
      [&](const auto& folder) -> Result<UpperFolder> {
        auto opened = folder.open(name);
        if (!opened) return tl::unexpected(opened.error());
        return UpperFolder(std::move(*opened));
      },
      folder_);
}

Result<std::string> UpperFolder::target(const std::string& name) const {
  return std::visit([&](const auto& folder) { return folder.read(name, Kind::link, 4096); }, folder_);
}

Result<std::vector<std::string>> UpperFolder::names(std::uint64_t max_names) const {
  return std::visit([&](const auto& folder) { return folder.names(max_names); }, folder_);
}

bool UpperFolder::is_opaque() const {
  return std::visit([](const auto& folder) { return folder.is_opaque(); }, folder_);
}

UpperFolder::Attributes UpperFolder::attributes(const std::string& name) const {
  if (const auto* archived = std::get_if<ArchivedFolder>(&folder_)) {
    const auto* entry = archived->entry(name);
    return entry ? Attributes{entry->mode, entry->mtime} : Attributes();
  }
  const auto info = std::get<Stack>(folder_).attributes(name);
  return info ? Attributes{info->st_mode & 0777u, info->st_mtim} : Attributes();
}

}  // namespace agentrouter::workspace
