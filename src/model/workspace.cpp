#include "model/workspace.h"

#include <array>
#include <utility>

namespace agentrouter::model {

namespace {

constexpr std::array<std::pair<WorkspaceKind, std::string_view>, 4> kind_names{{
    {WorkspaceKind::scratch, "scratch"},
    {WorkspaceKind::path, "path"},
    {WorkspaceKind::upload, "upload"},
    {WorkspaceKind::git, "git"},
}};

std::string text_at(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

json::object git_json(const GitSource& git) {
  json::object object{{"url", git.url}};
  if (!git.ref.empty()) object["ref"] = git.ref;
  if (git.depth != 0) object["depth"] = git.depth;
  if (!git.subdir.empty()) object["subdir"] = git.subdir;
  if (git.submodules) object["submodules"] = true;
  if (git.lfs) object["lfs"] = true;
  return object;
}

GitSource read_git(const json::object& object) {
  return {.url = text_at(object, "url"),
          .ref = text_at(object, "ref"),
          .depth = static_cast<int>(base::get_int(object, "depth").value_or(0)),
          .subdir = text_at(object, "subdir"),
          .submodules = base::get_bool(object, "submodules").value_or(false),
          .lfs = base::get_bool(object, "lfs").value_or(false)};
}

}  // namespace

std::string_view to_string(WorkspaceKind kind) {
  for (const auto& [value, name] : kind_names) {
    if (value == kind) return name;
  }
  return "scratch";
}

json::object Workspace::to_json() const {
  json::object object{{"kind", to_string(kind)}};
  if (kind == WorkspaceKind::path) object["path"] = path;
  if (kind == WorkspaceKind::upload) object["upload"] = json::object{{"id", upload_id}};
  if (kind == WorkspaceKind::git) object["git"] = git_json(git);
  if (from_run) object["fromRun"] = json::object{{"runId", from_run->str()}};
  if (!tree.empty()) object["tree"] = tree;
  if (!commit.empty()) object["commit"] = commit;
  return object;
}

base::Result<Workspace> Workspace::from_json_text(std::string_view text) {
  const auto value = base::parse_json(text);
  const auto* object = value ? value->if_object() : nullptr;
  const auto kind = object ? base::get_string(*object, "kind") : std::nullopt;
  Workspace workspace;
  bool known = false;
  for (const auto& [each, name] : kind_names) {
    if (kind != name) continue;
    workspace.kind = each;
    known = true;
  }
  if (!known) return base::fail(base::Code::corrupt, "cannot read a run's workspace: unknown kind");
  workspace.path = text_at(*object, "path");
  if (const auto* upload = base::get_object(*object, "upload")) workspace.upload_id = text_at(*upload, "id");
  if (const auto* git = base::get_object(*object, "git")) workspace.git = read_git(*git);
  if (const auto* from = base::get_object(*object, "fromRun"))
    workspace.from_run = RunId(text_at(*from, "runId"));
  workspace.tree = text_at(*object, "tree");
  workspace.commit = text_at(*object, "commit");
  return workspace;
}

}  // namespace agentrouter::model
