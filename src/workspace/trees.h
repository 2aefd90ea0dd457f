#pragma once
// DATA/trees: the base trees that workspaces stand on, by names that say what is in them, so that equal
// content is unpacked once. A tree is made under a temporary name, put on the disk and renamed: what has a
// name is whole, also after a crash. It is never written to again; overlays lie on top of it.
//
//   DATA/trees/<name>/tree        the files
//   DATA/trees/<name>/info.json   what is in it; its time of change is the tree's last use
//
// All calls may block and are safe from any thread. One process owns the folder.

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/id.h"
#include "workspace/unpack.h"

namespace agentrouter::workspace {

struct TreeRules {
  // Of all trees together. Those in use may be more; then no new one is kept.
  std::uint64_t max_bytes = 20ull << 30;
};

class Trees {
  struct Opened {};  // only open() makes one

 public:
  // A tree that stays as long as this does, whether it is in use or not.
  struct Held {
    std::string name;
    std::filesystem::path path;  // of the files
    UnpackReport content;
    bool cached = false;  // it was there already
    std::shared_ptr<void> hold;
  };
  // Puts the tree's files into an empty folder (borrowed).
  using Fill = std::function<base::Result<UnpackReport>(int folder)>;

  // Makes the folder, and throws away what a crash left half made or half removed. `entropy` outlives it.
  [[nodiscard]] static base::Result<std::unique_ptr<Trees>> open(const std::filesystem::path& folder,
                                                                 TreeRules rules, base::Entropy& entropy);
  Trees(Opened, std::filesystem::path folder, base::Fd fd, TreeRules rules, base::Entropy& entropy);
  Trees(const Trees&) = delete;
  Trees& operator=(const Trees&) = delete;

  // `name`: letters, digits and '-'. Counts as a use. Errors: not_found.
  [[nodiscard]] base::Result<Held> find(const std::string& name);

  // find() of any tree whose name begins so. Errors: not_found.
  [[nodiscard]] base::Result<Held> find_any(const std::string& prefix);

  // find(), or makes it with `fill`. Of several that ask for the same name one makes it and the others wait.
  // Durable when it returns. Errors: those of `fill`, which leave nothing; those of writing.
  [[nodiscard]] base::Result<Held> make(const std::string& name, const Fill& fill);

  // Whether there is no need for trim().
  [[nodiscard]] bool fits() const;
  // Removes the trees that were not used for the longest time until the rest fits, but none that is held or
  // in `in_use`. True when the rest fits.
  [[nodiscard]] bool trim(const std::vector<std::string>& in_use);

  [[nodiscard]] std::filesystem::path path_of(const std::string& name) const;

 private:
  struct Shelf;
  struct Stored {
    std::string name;
    std::uint64_t bytes = 0;
    timespec used{};
  };

  base::Result<void> sweep();
  base::Result<Held> look_up(const std::string& name);
  base::Result<Held> build(const std::string& name, const Fill& fill);
  base::Result<UnpackReport> fill_folder(const std::string& temporary, const Fill& fill);
  [[nodiscard]] std::vector<Stored> stored() const;
  bool put_away(const Stored& tree, const std::vector<std::string>& in_use);

  std::filesystem::path folder_;
  base::Fd fd_;
  TreeRules rules_;
  base::Entropy& entropy_;
  std::shared_ptr<Shelf> shelf_;
};

}  // namespace agentrouter::workspace
