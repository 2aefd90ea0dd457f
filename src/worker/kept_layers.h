#pragma once
// DATA/layers: what turns have left, as overlay layers that a next turn or a fork stands on without anything
// being copied. The archive of the checkpoint stays the truth: a layer that is missing, of another boot of
// this machine or over the cap is only slower to go on from.
//
//   DATA/layers/boot             when and where this was written; nothing here is ever synced to the disk
//   DATA/layers/kept/<run>/      the box of the attempt that left it (sandbox/launch.h): `upper` and `home`
//   DATA/layers/states/<run>     the state behind a turn: its checkpoint, and the layers that it is made of;
//                                its time of change is the state's last use
//   DATA/layers/uses/<attempt>   the layers that an attempt stands on
//   DATA/layers/gone/            what is being removed
//
// All calls may block and are safe from any thread. One process owns the folder.

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "model/ids.h"
#include "sandbox/launch.h"
#include "store/store.h"

namespace agentrouter::worker {

struct LayerRules {
  std::uint64_t max_bytes = 10ull << 30;  // of all kept layers together; 0: none is kept
};

// A boot of the machine and the folder itself, as text. Pure but for what it reads.
[[nodiscard]] std::string boot_of_folder(int folder);

class KeptLayers {
  struct Opened {};  // only open() makes one

 public:
  enum class Part { all, files };  // `files`: of the workspace, not of the home

  // Makes the folder. What another boot has written is thrown away, and what no state or attempt needs.
  // `boot`: boot_of_folder(), but for tests.
  [[nodiscard]] static base::Result<std::unique_ptr<KeptLayers>> open(
      const std::filesystem::path& data_dir, LayerRules rules,
      const std::function<std::string(int folder)>& boot = boot_of_folder);
  KeptLayers(Opened, std::filesystem::path folder, base::Fd attempts, LayerRules rules);

  // What an attempt is launched on.
  struct Ground {
    std::vector<base::Fd> layers;  // the newest first
    unsigned home_layers = 0;
  };
  // The layers of this state for an attempt that is about to be launched; they stay until done(). None when
  // they are not all here.
  [[nodiscard]] std::optional<Ground> take(const store::Checkpoint& state, Part part,
                                           const model::AttemptId& attempt);
  // The attempt does not stand on them, or is over. May be repeated.
  void done(const model::AttemptId& attempt);

  // What the attempt has left becomes the layer of its run, on top of those that it stood on; `bytes` is what
  // it takes. Its sandbox is gone. May be repeated. False when it cannot be kept: it stood on as many as
  // may be, is larger than the cap, or is of another file system.
  bool keep(const model::AttemptId& attempt, const model::RunId& run, const std::string& sha256,
            std::uint64_t bytes);

  // Nothing goes on from this state any more, or it is of no use.
  void forget(const model::RunId& run);

  // Forgets the states that were not used for the longest time until the rest fits the cap, then removes what
  // nothing needs. Takes as long as the files need, but returns soon after stop(), and at once while another
  // thread is at it.
  void trim();
  void stop() { stopping_ = true; }

 private:
  struct Layer {
    model::RunId run;
    std::uint64_t bytes = 0;
  };
  struct Stack {
    std::vector<Layer> layers;  // the newest first
    unsigned home_layers = 0;
    std::string sha256;  // of a state
    timespec used{};     // of a state
  };
  using Stacks = std::map<std::string, Stack>;

  static std::string to_text(const Stack& stack);
  static std::optional<Stack> parse(std::string_view text);
  [[nodiscard]] base::Result<void> make_folders(const std::string& boot);
  void read_all(const char* folder, std::string_view prefix, Stacks& into);
  void write(const char* folder, const std::string& name, const Stack& stack);
  void erase_state(Stacks::iterator state);
  [[nodiscard]] std::optional<std::vector<base::Fd>> open_layers(const Stack& stack) const;
  [[nodiscard]] std::map<std::string, std::uint64_t> needed() const;
  void put_away();
  void make_room();
  bool remove(const std::string& name);

  std::filesystem::path folder_;
  base::Fd attempts_;
  base::Fd fd_, kept_, gone_;
  LayerRules rules_;
  std::mutex mutex_;           // of what follows, and of the folders that mirror it
  Stacks states_, uses_;       // by run and by attempt
  std::uint64_t gone_count_ = 0;
  std::mutex removing_;
  std::atomic<bool> stopping_ = false;
};

}  // namespace agentrouter::worker
