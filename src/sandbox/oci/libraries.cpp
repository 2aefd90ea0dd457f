#include "sandbox/oci/libraries.h"

#include <fcntl.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>

namespace agentrouter::sandbox {
namespace {

namespace fs = std::filesystem;

struct Loaded {
  std::string loader;
  std::vector<std::string> folders;
};

int note_library(dl_phdr_info* info, std::size_t, void* into) {
  auto& loaded = *static_cast<Loaded*>(into);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& part = info->dlpi_phdr[i];
    if (part.p_type == PT_INTERP && loaded.loader.empty())
      loaded.loader = reinterpret_cast<const char*>(info->dlpi_addr + part.p_vaddr);
  }
  std::error_code error;
  const auto path = fs::canonical(info->dlpi_name, error);
  if (error || info->dlpi_name[0] != '/') return 0;
  const auto folder = path.parent_path().string();
  if (std::find(loaded.folders.begin(), loaded.folders.end(), folder) == loaded.folders.end())
    loaded.folders.push_back(folder);
  return 0;
}

base::Result<base::Fd> open_source(const std::string& path) {
  base::Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) return base::fail_errno("cannot open this program's libraries: " + path, errno);
  return fd;
}

}  // namespace

void leave_loader() {
  (void)::close_range(64, ~0U, 0);
}

base::Result<OwnLibraries> open_own_libraries() {
  Loaded loaded;
  ::dl_iterate_phdr(note_library, &loaded);
  OwnLibraries result;
  if (loaded.loader.empty()) return result;
  AGENTROUTER_TRY(result.loader, open_source(loaded.loader));
  for (const auto& folder : loaded.folders) {
    AGENTROUTER_TRY(auto fd, open_source(folder));
    result.folders.push_back(std::move(fd));
  }
  return result;
}

}  // namespace agentrouter::sandbox
