#pragma once
// Policies of the server: files of a folder, read again when they have changed. A file that is broken keeps
// what it said before; the log says so once. docs/policies.md is the language.

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "policy/rules.h"

namespace agentrouter::apps {

struct PolicyConfig {
  std::string dir;                                  // empty: "policies" in the data folder, if it is there
  std::string fallback;                             // the policy of every run; empty: none
  std::optional<std::vector<std::string>> callers;  // what a request may name; none: all
};
// As TOML.
[[nodiscard]] std::string print_policy_config(const PolicyConfig& config);

// A policy file as it stands: what it says, what it inherits, and its test cases.
struct PolicyFile {
  std::string name;
  std::string path;
  json::object document = {};  // without `inherit` and `tests`
  std::string inherits = {};   // empty: nothing
  json::array tests = {};
  std::vector<int> rule_lines = {};    // where each rule of its own stands
  std::vector<int> egress_lines = {};  // the same of [[egress]]
};

// Errors: invalid (policy_invalid) with the file, the line or key, what is wrong and what is wanted.
[[nodiscard]] base::Result<PolicyFile> parse_policy_file(std::string_view text, const std::string& path);
[[nodiscard]] base::Result<PolicyFile> read_policy_file(const std::filesystem::path& path);

// Several files that may inherit from each other and from the presets.
class PolicySet {
 public:
  void add(PolicyFile file) { files_.insert_or_assign(file.name, std::move(file)); }
  [[nodiscard]] const PolicyFile* file(const std::string& name) const;
  // Errors: invalid (policy_invalid): a broken rule, a circle, a parent that is not there.
  [[nodiscard]] base::Result<policy::Rules> rules(const std::string& name) const;

 private:
  [[nodiscard]] base::Result<json::object> document(const std::string& name,
                                                    std::vector<std::string>& children) const;
  std::map<std::string, PolicyFile> files_;
};

// The names of a folder's policy files, sorted: *.toml. Errors: not_found, denied.
[[nodiscard]] base::Result<std::vector<std::filesystem::path>> list_policy_files(
    const std::filesystem::path& folder);

class PolicyCatalog {
 public:
  // Errors: invalid (a file is broken, the default or a caller's policy is not there), not_found (the
  // folder).
  [[nodiscard]] static base::Result<PolicyCatalog> open(const PolicyConfig& config,
                                                        const std::filesystem::path& data);

  // What a run is held to that names `name` (empty: none): the server's default, tightened by it. Nothing
  // when neither is there. Looks at the folder again. Errors: invalid (policy_unknown, details {name,
  // known}).
  [[nodiscard]] base::Result<std::optional<policy::Rules>> rules_for(std::string_view name);
  // What a request may name.
  [[nodiscard]] std::vector<std::string> names();
  // Looks at the folder again.
  void refresh();
  // Called whenever the folder turned out to have changed.
  void on_change(std::function<void()> listener) { listener_ = std::move(listener); }
  // Empty: there are no files.
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  // Of each file: when it was written and how long it is.
  using Stamp = std::map<std::string, std::pair<std::filesystem::file_time_type, std::uintmax_t>>;

  PolicyCatalog() = default;
  [[nodiscard]] Stamp stamp() const;
  // The errors by file; what is broken keeps what it was.
  std::map<std::string, std::string> load();
  [[nodiscard]] const policy::Rules* find(const std::string& name) const;
  [[nodiscard]] bool may_name(const std::string& name) const;

  PolicyConfig config_;
  std::filesystem::path folder_;  // empty: no files
  Stamp stamp_;
  std::map<std::string, policy::Rules> rules_;
  std::function<void()> listener_;
};

}  // namespace agentrouter::apps
