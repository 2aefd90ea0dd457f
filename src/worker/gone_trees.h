#pragma once
// DATA/gone: folders of attempts that are over, on their way out. What is put here is out of sight at once,
// so that nobody waits for its files: they are removed later, by one thread, as slowly as that may be.
//
// All calls are safe from any thread. One process owns the folder.

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::worker {

class GoneTrees {
  struct Opened {};  // only open() makes one

 public:
  // Makes the folder. Errors: mkdir(2), open(2).
  [[nodiscard]] static base::Result<std::unique_ptr<GoneTrees>> open(const std::filesystem::path& data_dir);
  GoneTrees(Opened, base::Fd folder) : folder_(std::move(folder)) {}

  // Puts `name` of the folder `at` here, where it is called `as` or nearly so; nothing where it is not there.
  // Errors: renameat2(2), as of another file system, or of a disk without room for a name.
  [[nodiscard]] base::Result<void> put(int at, const std::string& name, const std::string& as);

  // Removes all that is here. Takes as long as the files need, but returns soon after stop(). Not from two
  // threads.
  void clear();
  void stop() { stopping_ = true; }

 private:
  [[nodiscard]] std::vector<std::string> names() const;
  bool remove(const std::string& name);

  base::Fd folder_;
  std::atomic<bool> stopping_ = false;
};

}  // namespace agentrouter::worker
