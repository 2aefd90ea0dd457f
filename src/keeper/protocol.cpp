#include "keeper/protocol.h"

#include <algorithm>

#include "base/json.h"
#include "keeper/spending_plan.h"

namespace agentrouter::keeper {
namespace {

std::string line_of(const json::object& object) {
  return base::to_text(object) + "\n";
}

std::string_view word_of(DecisionKind kind) {
  switch (kind) {
    case DecisionKind::approved:
      return "approved";
    case DecisionKind::denied:
      return "denied";
    case DecisionKind::expired:
      return "expired";
  }
  return "denied";
}

base::Result<json::object> parse_object(std::string_view line) {
  AGENTROUTER_TRY(json::value value,
                  base::parse_json(line, {.max_depth = 72, .max_bytes = policy_line_bytes}));
  if (!value.is_object()) return base::fail(base::Code::invalid, "cannot read the message: not an object");
  return std::move(value.get_object());
}

tl::unexpected<base::Error> malformed(std::string_view type) {
  return base::fail(base::Code::invalid, "cannot read the message: malformed " + std::string(type));
}

base::Result<DecisionMessage> parse_decision(const json::object& object) {
  const auto action = base::get_string(object, "actionId");
  const auto digest = base::get_string(object, "actionDigest");
  const auto decision = base::get_string(object, "decision");
  if (!action || !digest || !decision) return malformed("decision");
  DecisionMessage message{std::string(*action), std::string(*digest), DecisionKind::denied,
                          std::string(base::get_string(object, "eventId").value_or("")),
                          std::string(base::get_string(object, "reason").value_or(""))};
  if (const auto* input = base::get_object(object, "updatedInput")) message.input = base::to_text(*input);
  for (const auto kind : {DecisionKind::approved, DecisionKind::denied, DecisionKind::expired}) {
    if (word_of(kind) != *decision) continue;
    message.decision = kind;
    return message;
  }
  return malformed("decision");
}

json::object object_of(const LeaseMessage& lease) {
  json::object object{{"type", "lease"}, {"token", lease.token}};
  if (lease.protocol > oldest_protocol) object["protocol"] = lease.protocol;
  if (lease.allowance) {
    auto allowance = amount_json(lease.allowance->total);
    if (!lease.allowance->exhausted.empty()) allowance["exhausted"] = lease.allowance->exhausted;
    object["allowance"] = std::move(allowance);
  }
  return object;
}

json::object object_of(const DecisionMessage& decision) {
  json::object object{{"type", "decision"},
                      {"actionId", decision.action_id},
                      {"actionDigest", decision.action_digest},
                      {"decision", word_of(decision.decision)}};
  if (!decision.event_id.empty()) object["eventId"] = decision.event_id;
  if (!decision.reason.empty()) object["reason"] = decision.reason;
  if (!decision.input.empty())
    object["updatedInput"] = base::value_or_throw(base::parse_json(decision.input));
  return object;
}

json::object object_of(const FilesMessage& files) {
  return {{"type", "files"}, {"request", files.request}};
}

json::object object_of(const PolicyMessage& policy) {
  return {{"type", "policy"}, {"document", base::value_or_throw(base::parse_json(policy.document))}};
}

json::object object_of(const CancelMessage&) {
  return {{"type", "cancel"}};
}

json::object object_of(const DoneMessage&) {
  return {{"type", "done"}};
}

}  // namespace

std::string to_line(const KeeperMessage& message) {
  if (const auto* hello = std::get_if<Hello>(&message)) {
    return line_of({{"type", "hello"},
                    {"protocol", hello->protocol},
                    {"attemptId", hello->attempt_id},
                    {"runId", hello->run_id},
                    {"token", hello->token},
                    {"length", hello->length},
                    {"takes", json::array{"policy"}},
                    {"since", hello->since}});
  }
  if (const auto* length = std::get_if<Length>(&message)) {
    return line_of({{"type", "length"}, {"length", length->length}});
  }
  if (const auto* files = std::get_if<FilesBegin>(&message)) {
    json::object object{{"type", "files"}};
    if (!files->refused.empty()) object["refused"] = files->refused;
    return line_of(object);
  }
  if (const auto* wish = std::get_if<AllowanceWish>(&message)) {
    return line_of(
        {{"type", "allowance"}, {"have", amount_json(wish->have)}, {"needed", amount_json(wish->needed)}});
  }
  return line_of({{"type", std::holds_alternative<Cancelling>(message) ? "cancelling" : "bye"}});
}

std::string to_line(const ServerMessage& message) {
  json::object object = std::visit([](const auto& one) { return object_of(one); }, message);
  const bool command = !std::holds_alternative<LeaseMessage>(message);
  if (command && token_of(message) != 0) object["token"] = token_of(message);
  return line_of(object);
}

std::int64_t token_of(const ServerMessage& message) {
  return std::visit([](const auto& one) { return one.token; }, message);
}

void set_token(ServerMessage& message, std::int64_t token) {
  std::visit([token](auto& one) { one.token = token; }, message);
}

std::optional<int> common_protocol(const Hello& hello) {
  const int newest = std::min(control_protocol, hello.protocol);
  if (newest < std::max(oldest_protocol, hello.since)) return std::nullopt;
  return newest;
}

base::Result<KeeperMessage> parse_keeper_message(std::string_view line) {
  AGENTROUTER_TRY(const json::object object, parse_object(line));
  const auto type = base::get_string(object, "type").value_or("");
  const auto length = base::get_int(object, "length");
  if (type == "bye") return Bye{};
  if (type == "cancelling") return Cancelling{};
  if (type == "allowance") {
    const auto have = amount_of(base::get_object(object, "have"));
    const auto needed = amount_of(base::get_object(object, "needed"));
    if (!have || !needed) return malformed(type);
    return AllowanceWish{*have, *needed};
  }
  if (type == "files") return FilesBegin{std::string(base::get_string(object, "refused").value_or(""))};
  if (!length || *length < 0) return malformed(type);
  if (type == "length") return Length{static_cast<std::uint64_t>(*length)};
  const auto protocol = base::get_int(object, "protocol");
  const auto attempt = base::get_string(object, "attemptId");
  const auto run = base::get_string(object, "runId");
  const auto token = base::get_int(object, "token");
  if (type != "hello" || !protocol || !attempt || !run || !token) return malformed(type);
  const auto* takes = base::get_array(object, "takes");
  const bool policy = takes != nullptr && std::ranges::find(*takes, json::value("policy")) != takes->end();
  const auto since = base::get_int(object, "since").value_or(*protocol);
  return Hello{static_cast<int>(*protocol),
               std::string(*attempt),
               std::string(*run),
               *token,
               static_cast<std::uint64_t>(*length),
               policy,
               static_cast<int>(since)};
}

namespace {

base::Result<ServerMessage> parse_message(const json::object& object) {
  const auto type = base::get_string(object, "type").value_or("");
  if (type == "cancel") return CancelMessage{};
  if (type == "done") return DoneMessage{};
  if (type == "lease") {
    const auto token = base::get_int(object, "token");
    if (!token) return malformed(type);
    LeaseMessage lease{*token};
    lease.protocol = static_cast<int>(base::get_int(object, "protocol").value_or(oldest_protocol));
    const auto* allowance = base::get_object(object, "allowance");
    if (const auto total = amount_of(allowance)) {
      lease.allowance = LeaseMessage::Allowance{
          *total, std::string(base::get_string(*allowance, "exhausted").value_or(""))};
    }
    return lease;
  }
  if (type == "files") {
    const auto request = base::get_string(object, "request");
    if (!request) return malformed(type);
    return FilesMessage{std::string(*request)};
  }
  if (type == "policy") {
    const auto* document = base::get_object(object, "document");
    if (document == nullptr) return malformed(type);
    return PolicyMessage{base::to_text(*document)};
  }
  if (type != "decision") return malformed(type);
  AGENTROUTER_TRY(DecisionMessage decision, parse_decision(object));
  return decision;
}

}  // namespace

base::Result<ServerMessage> parse_server_message(std::string_view line) {
  AGENTROUTER_TRY(const json::object object, parse_object(line));
  AGENTROUTER_TRY(ServerMessage message, parse_message(object));
  set_token(message, base::get_int(object, "token").value_or(0));
  return message;
}

}  // namespace agentrouter::keeper
