// Webhooks: who is told of what, and what became of the messages.

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

std::string path_of(const Command& command, std::string_view rest = {}) {
  if (command.hook_id.empty()) throw UsageError{"name the webhook: agentrouter webhooks " + command.verb + " ID"};
  // An id that is none of ours leads nowhere: only what the server makes is taken into a path.
  if (command.hook_id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos)
    throw UsageError{one_line(command.hook_id) + " is no id of a webhook"};
  return "/v1/webhooks/" + command.hook_id + std::string(rest);
}

std::string text(const Json& json, std::string_view key) {
  return one_line(json[key].as_string());
}

std::string events_text(const Json& webhook) {
  std::string all;
  for (const auto& event : webhook["events"].as_array())
    all += (all.empty() ? "" : ",") + one_line(event.as_string());
  return all;
}

std::string state_of(const Json& webhook) {
  if (!webhook["enabled"].as_bool()) return "disabled (" + text(webhook, "disabledReason") + ")";
  const auto since = text(webhook, "failingSince");
  return since.empty() ? "enabled" : "failing since " + since;
}

void print_webhook(const Json& webhook, Output& output) {
  output.out << text(webhook, "id") << "  " << text(webhook, "url") << "\n  " << events_text(webhook) << "; "
             << state_of(webhook);
  if (const auto about = text(webhook, "description"); !about.empty()) output.out << "; " << about;
  output.out << '\n';
  if (const auto secret = text(webhook, "secret"); !secret.empty())
    output.out << "  Secret (shown only now): " << secret << '\n';
}

void print_delivery(const Json& delivery, Output& output) {
  output.out << text(delivery, "id") << "  " << text(delivery, "createdAt") << "  " << text(delivery, "type") << "  "
             << text(delivery, "state") << " after " << delivery["attempts"].as_int() << " attempts";
  if (const auto status = delivery["status"].as_int(); status != 0) output.out << ", " << status;
  if (const auto error = text(delivery, "error"); !error.empty()) output.out << ": " << error;
  if (const auto next = text(delivery, "nextAttemptAt"); !next.empty()) output.out << "; next " << next;
  output.out << '\n';
}

Json events_json(const Command& command) {
  Json::Array events;
  for (const auto& event : command.hook_events) events.emplace_back(event);
  return Json::array(std::move(events));
}

Json changes_of(const Command& command) {
  Json::Object body;
  if (!command.url.empty()) body.emplace_back("url", command.url);
  if (!command.hook_events.empty()) body.emplace_back("events", events_json(command));
  if (!command.message.empty()) body.emplace_back("description", command.message);
  return Json::object(std::move(body));
}

Json new_webhook(const Command& command) {
  if (command.url.empty()) throw UsageError{"name the address: agentrouter webhooks create --url https://..."};
  auto with_default = command;
  if (with_default.hook_events.empty()) with_default.hook_events = {"approval.requested", "run.*"};
  auto body = changes_of(with_default).as_object();
  if (!command.secret.empty()) body.emplace_back("secret", command.secret);
  return Json::object(std::move(body));
}

Json secret_body(const Command& command) {
  return command.secret.empty() ? Json::object() : Json::object({{"secret", command.secret}});
}

struct Call {
  std::string_view method;
  std::string target;
  Json body = {};
};

Call call_of(const Command& command) {
  const auto& verb = command.verb;
  if (verb == "list") return {"GET", "/v1/webhooks"};
  if (verb == "create") return {"POST", "/v1/webhooks", new_webhook(command)};
  if (verb == "show") return {"GET", path_of(command)};
  if (verb == "change") return {"PATCH", path_of(command), changes_of(command)};
  if (verb == "enable" || verb == "disable")
    return {"PATCH", path_of(command), Json::object({{"enabled", verb == "enable"}})};
  if (verb == "delete") return {"DELETE", path_of(command)};
  if (verb == "rotate") return {"POST", path_of(command, "/rotate"), secret_body(command)};
  if (verb == "test") return {"POST", path_of(command, "/test"), Json::object()};
  if (verb == "deliveries") return {"GET", path_of(command, "/deliveries")};
  if (command.message_id.empty() ||
      command.message_id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos)
    throw UsageError{"name the message: agentrouter webhooks redeliver ID MESSAGE"};
  return {"POST", path_of(command, "/deliveries/" + command.message_id + "/redeliver"), Json::object()};
}

}  // namespace

int webhooks(const Command& command, Context& context) {
  const auto call = call_of(command);
  const auto reply = context.client.call(call.method, call.target, call.body, {.stop = context.interrupt});
  auto& output = context.output;
  if (command.json) {
    output.out << reply.dump() << '\n';
    return exit_code::completed;
  }
  const bool messages = reply["webhookId"].is_string() || command.verb == "deliveries";
  if (reply["items"].is_array()) {
    for (const auto& item : reply["items"].as_array())
      messages ? print_delivery(item, output) : print_webhook(item, output);
    if (reply["items"].as_array().empty()) output.err << "There is nothing to list.\n";
  } else if (reply["deleted"].as_bool()) {
    output.out << "Deleted " << text(reply, "id") << '\n';
  } else if (messages) {
    print_delivery(reply, output);
    output.err << "What became of it: agentrouter webhooks deliveries " << text(reply, "webhookId") << '\n';
  } else {
    print_webhook(reply, output);
  }
  return exit_code::completed;
}

}  // namespace agentrouter::cli
