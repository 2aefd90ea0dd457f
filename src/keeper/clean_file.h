#pragma once
// Files that our collector has made, on their way to being artifacts.

#include "base/error.h"
#include "base/redactor.h"

namespace agentrouter::keeper {

struct CleanedFile {
  bool found = false;  // there was something, and the file is another one now
  std::uint64_t bytes = 0;
  std::string sha256;
};

// Takes secrets out of each line of a file in the folder. Lines stay lines. After a crash the file is the old
// one or the new one. Errors: not_found, those of reading and writing.
[[nodiscard]] base::Result<CleanedFile> clean_lines(int folder, const char* name, const base::Redactor& redactor,
                                                    base::Redactor::Text kind);

}  // namespace agentrouter::keeper
