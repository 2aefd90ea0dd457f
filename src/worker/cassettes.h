#pragma once
// Where the cassettes of runs lie (docs/replay.md), recorded or played: FOLDER/<name>.jsonl of the default
// workspace, FOLDER/<workspace>/<name>.jsonl of another. The id of a workspace has no dot, so that no
// cassette is in its way.

#include <deque>
#include <filesystem>
#include <map>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "model/run.h"
#include "worker/attempt_folder.h"

namespace agentrouter::worker {

enum class CassetteMode { none, record, replay };

struct CassetteRules {
  CassetteMode mode = CassetteMode::none;
  std::filesystem::path folder;
};

// Belongs to one executor, but for place() and take(), which block.
class Cassettes {
 public:
  explicit Cassettes(CassetteRules rules) : rules_(std::move(rules)) {}
  [[nodiscard]] CassetteMode mode() const { return rules_.mode; }

  // How many runs without a tag are remembered: one that begins once more when as many others have begun
  // after it gets another number.
  static constexpr std::size_t remembered = 10'000;

  // What the run's tag `cassette` says, with "+turn2" and so on for later turns (model/cassette_name.h); a
  // run without it is given the next number of its workspace, "run-0001", and keeps it. Errors: invalid,
  // reason name.
  [[nodiscard]] base::Result<std::string> name_of(const model::Run& run);

  // Copies a cassette of the run's workspace into an attempt's folder for its keeper; one of a later turn may
  // also be called "NAME.turn2", as such were once. Errors: not_found, reason missing; too_large; those of
  // reading and writing.
  [[nodiscard]] base::Result<void> place(const model::Run& run, const std::string& name,
                                         const AttemptFolder& folder) const;
  // Takes a complete recording out of it. The folder has the old cassette of that name, or the new one. Errors: as
  // place().
  [[nodiscard]] base::Result<void> take(const model::Run& run, const std::string& name,
                                        const AttemptFolder& folder) const;

 private:
  [[nodiscard]] int number_of(const model::Run& run);
  [[nodiscard]] std::filesystem::path folder_of(const model::Run& run) const;
  [[nodiscard]] base::Result<base::Fd> open(const model::Run& run, const std::string& name) const;

  CassetteRules rules_;
  std::map<std::string, int> last_numbers_;  // by workspace
  std::map<std::string, int> numbers_;       // by run
  std::deque<std::string> numbered_;         // runs, in the order of numbers_ being given
};

}  // namespace agentrouter::worker
