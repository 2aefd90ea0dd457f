#pragma once
// A folder for a target that writes files: removed with the process, with something beside the trees that must stay as it is.
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "require.h"

struct Place {
  Place() {
    std::string name = (std::filesystem::temp_directory_path() / "agentrouter-fuzz-XXXXXX").string();
    require(::mkdtemp(name.data()) != nullptr);
    root = name;
    std::filesystem::create_directory(root / "outside");
    std::ofstream(root / "outside/file") << "untouched";
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { clear(root); }

  // Gone, whatever the modes in it.
  static void clear(const std::filesystem::path& tree) {
    std::error_code error;
    std::filesystem::remove_all(tree, error);
    if (!error) return;
    std::filesystem::permissions(tree, std::filesystem::perms::owner_all, error);
    for (const auto& entry : std::filesystem::directory_iterator(tree)) {
      if (entry.symlink_status().type() == std::filesystem::file_type::directory) clear(entry.path());
    }
    std::filesystem::remove_all(tree);
  }

  // An empty folder of this name.
  [[nodiscard]] std::filesystem::path fresh(const char* name) const {
    clear(root / name);
    std::filesystem::create_directory(root / name);
    return root / name;
  }

  // `own`: how many folders the target has made.
  void require_untouched(int own) const {
    std::string text;
    std::ifstream(root / "outside/file") >> text;
    require(text == "untouched");
    require(std::distance(std::filesystem::directory_iterator(root), {}) == own + 1);
    require(std::distance(std::filesystem::directory_iterator(root / "outside"), {}) == 1);
  }

  std::filesystem::path root;
};

// How many entries a tree has, all of them files, folders or links.
inline std::uint64_t plain_entries(const std::filesystem::path& tree) {
  constexpr auto options = std::filesystem::directory_options::skip_permission_denied;
  std::uint64_t entries = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(tree, options)) {
    const auto kind = entry.symlink_status().type();
    require(kind == std::filesystem::file_type::regular || kind == std::filesystem::file_type::directory ||
            kind == std::filesystem::file_type::symlink);
    ++entries;
  }
  return entries;
}
