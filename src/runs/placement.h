#pragma once
// Which worker may take which run. A run needs things by name and value: those that it was asked to have
// (`requires`), and those that follow from it: its runtime, its image, how it is isolated, the root that its path
// lies under. A worker offers values by name. Runs that need the same wait in one lane of the queue, so that a claim
// passes over whole lanes and never looks at runs one by one.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "store/store.h"

namespace agentrouter::runs {

// Sorted, each once.
using Needs = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::size_t needs_at_most = 16;
// Letters, digits, '.', '_' and '-', at most 64: what a label is called, and what it may say.
[[nodiscard]] bool is_label_text(std::string_view text);

// What a worker has: by name all the values that hold there.
struct Offers {
  std::map<std::string, std::set<std::string>> values;
  // The only server of its store: nobody else could take a run, so what it lacks of a run's own (runtime, image,
  // isolation, root) is said by the run's failure and not by waiting.
  bool is_only_one = false;

  [[nodiscard]] bool has(const std::string& name, const std::string& value) const;
  // Those of `needs` that it does not have.
  [[nodiscard]] Needs missing(const Needs& needs) const;
  // {name: [value, ...]}
  [[nodiscard]] json::object to_json() const;
  [[nodiscard]] static Offers from_json(const json::object& object);
};

// `roots` are folders below which workspaces may lie: of a path the longest that holds it is needed.
[[nodiscard]] Needs needs_of(const model::Run& run, const std::vector<std::string>& roots = {});

// As the name of a lane, and back. A name that nobody can read needs nothing.
struct LaneKey {
  std::string workspace;
  Needs needs;
  [[nodiscard]] std::string name() const;
  [[nodiscard]] static LaneKey parse(std::string_view name);
};

struct ClaimRules {
  Offers offers = {.values = {}, .is_only_one = true};
  std::int64_t max_active_of_workspace = 0;  // runs that are carried out, by all workers together; 0: any number
};

// The lanes whose runs must not be taken by a worker with these rules: it lacks something, or their workspace has as
// many active runs as it may have.
[[nodiscard]] std::vector<std::string> lanes_to_pass(store::Reader& reader, const ClaimRules& rules);

}  // namespace agentrouter::runs
