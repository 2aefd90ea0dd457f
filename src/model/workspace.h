#pragma once
// What a run works on, and where that came from. It is fixed when the run is asked for; what its preparation
// found (`tree`, `commit`) is added once. Later turns and forks inherit all of it: they stand on the same
// base.
//
//   kind     base of the overlay                    known
//   scratch  an empty folder
//   path     the folder itself, read only           when asked for
//   upload   DATA/trees/<tree>/tree                 when asked for
//   git      DATA/trees/<tree>/tree                 when workspace.prepared says so
//
// `from_run` comes beside any of them: the base is that run's, and the first turn begins with the files as
// they were at that run's end.

#include <optional>
#include <string>

#include "base/json.h"
#include "model/ids.h"

namespace agentrouter::model {

enum class WorkspaceKind { scratch, path, upload, git };
[[nodiscard]] std::string_view to_string(WorkspaceKind kind);

struct GitSource {
  std::string url = {};     // public: without credentials
  std::string ref = {};     // a branch, a tag or a full commit; empty: what the remote's HEAD names
  int depth = 0;            // commits of history; 0: all of it
  std::string subdir = {};  // the part of the tree that becomes the workspace; empty: all of it
  bool submodules = false;
  bool lfs = false;
  bool operator==(const GitSource&) const = default;
};

struct Workspace {
  WorkspaceKind kind = WorkspaceKind::scratch;
  std::string path = {};               // of path: a real path on this machine under an allowed root
  std::string upload_id = {};          // of upload
  GitSource git = {};                  // of git, as asked for
  std::optional<RunId> from_run = {};  // never the run itself
  std::string tree = {};               // the base tree's name; empty without one and until it is prepared
  std::string commit = {};             // of git: the commit in full, once it is known
  bool operator==(const Workspace&) const = default;

  // {kind, path|upload:{id}|git:{url,ref?,depth?,subdir?,submodules?,lfs?}, fromRun?:{runId}, tree?,
  // commit?}: what is stored and what the run's record shows.
  [[nodiscard]] json::object to_json() const;
  // Reads what to_json() wrote. Errors: corrupt.
  [[nodiscard]] static base::Result<Workspace> from_json_text(std::string_view text);
};

}  // namespace agentrouter::model
