// Nodes: the servers of one store, and which of them take nothing new.

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

std::string node_text(const Json& json, std::string_view key) {
  return one_line(json[key].as_string());
}

std::string labels_text(const Json& labels) {
  std::string all;
  for (const auto& [name, values] : labels.as_object()) {
    for (const auto& value : values.as_array())
      all += (all.empty() ? "" : " ") + one_line(name) + "=" + one_line(value.as_string());
  }
  return all;
}

void print_node(const Json& node, Output& output) {
  output.out << node_text(node, "id") << "  " << node_text(node, "role") << "  " << node_text(node, "version");
  if (const auto capacity = node["capacity"].as_int(); capacity > 0)
    output.out << "  " << node["used"].as_int() << "/" << capacity << " runs";
  if (node["draining"].as_bool()) output.out << "  draining";
  output.out << "  seen " << node_text(node, "lastSeenAt") << '\n';
  if (const auto labels = labels_text(node["labels"]); !labels.empty()) output.out << "  " << labels << '\n';
}

Json answer_of(const Command& command, Context& context) {
  if (command.verb.empty() || command.verb == "list") return context.client.call("GET", "/v1/nodes", Json(), {.stop = context.interrupt});
  // An id that is none of ours leads nowhere: only what the server makes is taken into a path.
  if (command.node_id.empty() ||
      command.node_id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos)
    throw UsageError{"name the node: agentrouter nodes " + command.verb + " NODE"};
  return context.client.call("POST", "/v1/nodes/" + command.node_id + "/" + command.verb, Json::object(),
                             {.stop = context.interrupt});
}

}  // namespace

int nodes(const Command& command, Context& context) {
  const auto reply = answer_of(command, context);
  if (command.json) {
    context.output.out << reply.dump() << '\n';
  } else if (reply["items"].is_array()) {
    for (const auto& node : reply["items"].as_array()) print_node(node, context.output);
  } else {
    print_node(reply["node"], context.output);
  }
  return exit_code::completed;
}

}  // namespace agentrouter::cli
