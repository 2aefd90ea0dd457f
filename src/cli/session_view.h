#pragma once
// What came of a run, for a person: the answer, the files that the agent changed, and what can be fetched.

#include <agentrouter/client.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/output.h"

namespace agentrouter::cli {

struct ChangedFile {
  std::string mark;  // M, D, A, T
  std::string path;  // printable
};

struct ChangedFiles {
  std::vector<ChangedFile> files;
  bool truncated = false;
};

// Of a status as `git status --porcelain` writes it: M, D, T, or A for a new file.
[[nodiscard]] std::string mark_of(std::string_view porcelain);

// Of the bytes of a workspace_file_index artifact; nothing when they are none.
[[nodiscard]] std::optional<ChangedFiles> parse_file_index(std::string_view json);

// Prints answer, changed files and artifacts to `out`. Fetches the file index; a failure to do so is only
// told.
void print_outcome(const Client& client, const RunSession& session, Output& output);

void print_artifacts(const std::vector<Artifact>& artifacts, std::ostream& out);

// "failed (approval_denied): the reason", "completed in 12.3 s": printable.
[[nodiscard]] std::string state_line(const Run& run);

}  // namespace agentrouter::cli
