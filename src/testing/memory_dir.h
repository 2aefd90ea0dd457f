#pragma once
// A folder that goes with its object, in memory where the machine has that: what is synced there costs nothing.

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "testing/temp_dir.h"

namespace agentrouter::testing {

class MemoryDir {
 public:
  MemoryDir() {
    std::string name = "/dev/shm/agentrouter-test-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  MemoryDir(const MemoryDir&) = delete;
  MemoryDir& operator=(const MemoryDir&) = delete;
  ~MemoryDir() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_.empty() ? instead_.path() : path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path() / name; }

 private:
  std::filesystem::path path_;
  TempDir instead_;
};

}  // namespace agentrouter::testing
