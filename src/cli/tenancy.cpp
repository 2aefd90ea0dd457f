// Keys and workspaces: who may use a server, and what several teams of it have apart.

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

std::string shown(const Json& json, std::string_view key) {
  return one_line(json[key].as_string());
}

std::string words_of(const Json& list) {
  if (list.is_string()) return one_line(list.as_string());
  std::string all;
  for (const auto& word : list.as_array()) all += (all.empty() ? "" : ",") + one_line(word.as_string());
  return all;
}

const std::string& id_of(const Command& command, std::string_view what) {
  if (command.key_id.empty())
    throw UsageError{"name the " + std::string(what) + ": agentrouter " + command.name + " " + command.verb +
                     " ID"};
  // An id that is none of ours leads nowhere: only what the server makes is taken into a path.
  if (command.key_id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos)
    throw UsageError{one_line(command.key_id) + " is no id of a " + std::string(what)};
  return command.key_id;
}

std::string state_of_key(const Json& key) {
  if (const auto at = shown(key, "revokedAt"); !at.empty()) return "revoked " + at;
  const auto end = shown(key, "expiresAt");
  if (!key["active"].as_bool()) return "expired " + end;
  const auto next = shown(key, "replacedBy");
  if (!next.empty()) return "replaced by " + next + ", holds until " + end;
  return end.empty() ? "active" : "active until " + end;
}

void print_key(const Json& key, Output& output) {
  const auto used = shown(key, "lastUsedAt");
  output.out << shown(key, "id") << "  " << shown(key, "prefix") << "...  " << shown(key, "name") << "\n  "
             << words_of(key["scopes"]) << " in " << words_of(key["workspaces"]) << "; " << state_of_key(key)
             << (used.empty() ? "; never used" : "; last used " + used) << '\n';
  if (const auto text = shown(key, "key"); !text.empty())
    output.out << "  Key (shown only now): " << text << '\n';
}

void print_workspace(const Json& workspace, Output& output) {
  output.out << shown(workspace, "id") << "  " << shown(workspace, "name")
             << (workspace["disabled"].as_bool() ? "  disabled" : "") << '\n';
}

CreateKeyRequest new_key(const Command& command) {
  if (command.display_name.empty())
    throw UsageError{"say what the key is for: agentrouter keys create --name NAME"};
  CreateKeyRequest request{.name = command.display_name,
                           .scopes = command.key_scopes,
                           .workspaces = command.key_workspaces,
                           .every_workspace = command.all,
                           .expires_at = command.expires};
  if (request.scopes.empty()) request.scopes = {"runs:read", "runs:write", "approvals:decide"};
  return request;
}

// All pages of a list as one.
template <class Fetch>
Json whole_list(Fetch fetch) {
  Json::Array items;
  for (std::string after;;) {
    const auto page = fetch(after);
    for (const auto& item : page["items"].as_array()) items.push_back(item);
    const auto next = std::string(page["nextAfter"].as_string());
    if (next.empty() || next == after) break;
    after = next;
  }
  return Json::object({{"items", Json::array(std::move(items))}});
}

Json key_reply(const Command& command, const Client& client, const CallOptions& call) {
  if (command.verb == "list")
    return whole_list([&](const std::string& after) { return client.list_keys(after, call); });
  if (command.verb == "create") return client.create_key(new_key(command), call);
  const auto& id = id_of(command, "key");
  if (command.verb == "revoke") return client.revoke_key(id, call);
  if (command.verb == "rotate") return client.rotate_key(id, std::chrono::seconds(command.overlap), call);
  return client.call("GET", "/v1/keys/" + id, {}, call);
}

Json workspace_reply(const Command& command, const Client& client, const CallOptions& call) {
  if (command.verb == "list")
    return whole_list([&](const std::string& after) { return client.list_workspaces(after, call); });
  const auto& id = id_of(command, "workspace");
  if (command.verb == "create") return client.create_workspace(id, command.display_name, call);
  const auto path = "/v1/workspaces/" + id;
  if (command.verb == "show") return client.call("GET", path, {}, call);
  if (command.verb != "rename")
    return client.call("PATCH", path, Json::object({{"disabled", command.verb == "disable"}}), call);
  if (command.display_name.empty()) throw UsageError{"say how: agentrouter workspaces rename ID --name NAME"};
  return client.call("PATCH", path, Json::object({{"name", command.display_name}}), call);
}

int print_reply(const Command& command, Output& output, const Json& reply,
                void (*print)(const Json&, Output&)) {
  if (command.json) {
    output.out << reply.dump() << '\n';
    return exit_code::completed;
  }
  if (!reply["items"].is_array()) {
    print(reply, output);
    return exit_code::completed;
  }
  for (const auto& item : reply["items"].as_array()) print(item, output);
  if (reply["items"].as_array().empty()) output.err << "There is nothing to list.\n";
  return exit_code::completed;
}

}  // namespace

int keys(const Command& command, Context& context) {
  const auto reply = key_reply(command, context.client, {.stop = context.interrupt});
  return print_reply(command, context.output, reply, print_key);
}

int workspaces(const Command& command, Context& context) {
  const auto reply = workspace_reply(command, context.client, {.stop = context.interrupt});
  return print_reply(command, context.output, reply, print_workspace);
}

}  // namespace agentrouter::cli
