#include "api/workspace_body.h"

#include "api/schema.h"

namespace agentrouter::api {

namespace {

using model::Workspace;
using model::WorkspaceKind;

constexpr std::size_t most_path = 4096;
constexpr Bounds id_length{1, 256};
constexpr Bounds url_length{1, 2048};
constexpr Bounds ref_length{1, 255};
constexpr Bounds subdir_length{1, 1024};
constexpr Bounds depth_bounds{1, 1'000'000};
const Names workspace_kinds{"path", "upload", "git", "fromRun"};
const Names git_keys{"url", "ref", "depth", "subdir", "submodules", "lfs"};

Workspace path_workspace(Issues& issues, const json::value& value) {
  Workspace workspace{.kind = WorkspaceKind::path};
  const auto* text = value.if_string();
  if (!text) {
    issues.wrong_type({"workspace", "path"}, "string", &value);
    return workspace;
  }
  workspace.path.assign(text->data(), text->size());
  if (workspace.path.empty() || workspace.path.size() > most_path || workspace.path.front() != '/')
    issues.other({"workspace", "path"}, "Invalid path: expected an absolute path of at most 4096 bytes");
  return workspace;
}

Workspace upload_workspace(Issues& issues, const json::value& value) {
  Workspace workspace{.kind = WorkspaceKind::upload};
  const auto* object = object_of(issues, {"workspace", "upload"}, value);
  if (!object) return workspace;
  check_keys(issues, {"workspace", "upload"}, *object, {"id"});
  workspace.upload_id =
      text_of(issues, {"workspace", "upload", "id"}, object->if_contains("id"), id_length).value_or("");
  return workspace;
}

Workspace run_workspace(Issues& issues, const json::value& value) {
  Workspace workspace;
  const auto* object = object_of(issues, {"workspace", "fromRun"}, value);
  if (!object) return workspace;
  check_keys(issues, {"workspace", "fromRun"}, *object, {"runId"});
  workspace.from_run =
      model::RunId(text_of(issues, {"workspace", "fromRun", "runId"}, object->if_contains("runId"), id_length)
                       .value_or(""));
  return workspace;
}

bool switch_of(Issues& issues, const json::object& object, const char* key) {
  const auto* value = object.if_contains(key);
  if (value && !value->is_bool()) issues.wrong_type({"workspace", "git", key}, "boolean", value);
  return value && value->is_bool() && value->get_bool();
}

Workspace git_workspace(Issues& issues, const json::value& value) {
  Workspace workspace{.kind = WorkspaceKind::git};
  const auto* object = object_of(issues, {"workspace", "git"}, value);
  if (!object) return workspace;
  check_keys(issues, {"workspace", "git"}, *object, git_keys);
  auto& git = workspace.git;
  git.url = text_of(issues, {"workspace", "git", "url"}, object->if_contains("url"), url_length).value_or("");
  if (const auto* ref = object->if_contains("ref"))
    git.ref = text_of(issues, {"workspace", "git", "ref"}, ref, ref_length).value_or("");
  if (const auto* subdir = object->if_contains("subdir"))
    git.subdir = text_of(issues, {"workspace", "git", "subdir"}, subdir, subdir_length).value_or("");
  if (const auto* depth = object->if_contains("depth"))
    git.depth =
        static_cast<int>(integer_of(issues, {"workspace", "git", "depth"}, *depth, depth_bounds).value_or(0));
  git.submodules = switch_of(issues, *object, "submodules");
  git.lfs = switch_of(issues, *object, "lfs");
  return workspace;
}

}  // namespace

Workspace workspace_of(Issues& issues, const json::value* value) {
  const auto* object = value ? object_of(issues, {"workspace"}, *value) : nullptr;
  if (!object) return {};
  check_keys(issues, {"workspace"}, *object, workspace_kinds);
  if (object->size() > 1) {
    issues.other({"workspace"}, "Invalid input: expected one of path, upload, git and fromRun");
    return {};
  }
  if (const auto* path = object->if_contains("path")) return path_workspace(issues, *path);
  if (const auto* upload = object->if_contains("upload")) return upload_workspace(issues, *upload);
  if (const auto* git = object->if_contains("git")) return git_workspace(issues, *git);
  if (const auto* from = object->if_contains("fromRun")) return run_workspace(issues, *from);
  issues.wrong_type({"workspace", "path"}, "string", nullptr);
  return {};
}

}  // namespace agentrouter::api
