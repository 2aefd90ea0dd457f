#pragma once
// A folder that lives as long as its object.

#include <cstdlib>
#include <filesystem>

#include "base/error.h"

namespace agentrouter::testing {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "agentrouter-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) base::throw_errno("cannot make folder " + name, errno);
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace agentrouter::testing
