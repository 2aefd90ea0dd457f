#pragma once
// Whether a data folder holds what it should: pages, rows, bytes, the audit chain, journals. It reads, and a server
// may go on meanwhile; only repairing needs the folder for itself.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "store/sqlite/inspect.h"
#include "vault/keyring.h"

namespace agentrouter::apps {

enum class Severity {
  damage,    // something that was stored is not there as it was
  leftover,  // something that nobody names takes space
};
[[nodiscard]] std::string_view to_string(Severity severity);

struct Problem {
  Severity severity = Severity::damage;
  store::Finding finding;
  bool repaired = false;
};

enum class Repair { no, yes };

struct FsckOptions {
  Repair repair = Repair::no;
  std::chrono::hours grace{24};  // younger leftovers may belong to something that is going on
  const vault::Keyring* keyring = nullptr;  // none: what is sealed is not opened
};

struct FsckReport {
  std::vector<Problem> problems;
  bool page_checksums = false;
  std::uint64_t pages = 0;
  std::int64_t blobs = 0;
  std::string elsewhere;  // the store that has them: their bytes are compared when they are read, and not here
  std::int64_t audit_entries = 0;
  std::int64_t journals = 0;
  std::int64_t sealed_values = 0;
  std::int64_t opened_values = 0;   // of them
  std::string locked;               // why the rest was not opened; no damage
  [[nodiscard]] bool ok() const;  // nothing is damaged but what was repaired
};

// Repairs only what loses nothing: indices are made anew, and bytes that no row names are removed after the grace.
//
// Errors: not_found (no data folder), conflict (data_in_use: repairing beside a server), unsupported
// (schema_newer), those of reading. Throws Failure when the database cannot be read at all.
[[nodiscard]] base::Result<FsckReport> check_data(const std::filesystem::path& data, const FsckOptions& options,
                                                  const base::Clock& clock);

}  // namespace agentrouter::apps
