#include "runs/node_requests.h"

#include "base/json.h"

namespace agentrouter::runs {

namespace {

constexpr std::string_view request_notes = "request";

std::string request_note(const NodeRequest& request) {
  return request.node + "/" + request.id;
}

json::object error_json(const base::Error& error) {
  return {{"code", static_cast<std::int64_t>(error.code)},
          {"message", error.message},
          {"reason", error.reason},
          {"details", error.details}};
}

base::Error read_error(const json::object& object) {
  const auto text = [&object](std::string_view key) { return std::string(base::get_string(object, key).value_or("")); };
  const auto code = base::get_int(object, "code").value_or(static_cast<std::int64_t>(base::Code::unavailable));
  return {static_cast<base::Code>(code), text("message"), text("reason"), text("details")};
}

void put_request(store::Transaction& tx, const NodeRequest& request) {
  json::object object{{"asker", request.asker},
                      {"run", request.run.str()},
                      {"what", request.what},
                      {"askedAt", base::to_iso(request.asked_at)},
                      {"answered", request.answered},
                      {"head", request.head},
                      {"key", request.key},
                      {"sha256", request.sha256}};
  if (request.error) object["error"] = error_json(*request.error);
  tx.put_note({std::string(request_notes), request_note(request), base::to_text(object)});
}

NodeRequest read_request(const store::Note& note) {
  NodeRequest request;
  const auto slash = note.id.find('/');
  request.node = note.id.substr(0, slash);
  request.id = note.id.substr(std::min(note.id.size(), slash + 1));
  const auto value = base::parse_json(note.text);
  const auto* object = value ? value->if_object() : nullptr;
  if (object == nullptr) return request;
  const auto text = [object](std::string_view key) { return std::string(base::get_string(*object, key).value_or("")); };
  request.asker = text("asker");
  request.run = model::RunId(text("run"));
  request.what = text("what");
  request.asked_at = base::parse_iso(text("askedAt")).value_or(base::Time{});
  request.answered = base::get_bool(*object, "answered").value_or(false);
  request.head = text("head");
  request.key = text("key");
  request.sha256 = text("sha256");
  if (const auto* error = base::get_object(*object, "error")) request.error = read_error(*error);
  return request;
}

}  // namespace

std::string answer_key(const NodeRequest& request) {
  return "answers/" + request.id;
}

void ask_node(store::Transaction& tx, const NodeRequest& request) {
  put_request(tx, request);
}

std::vector<NodeRequest> requests_for(store::Reader& reader, std::string_view node) {
  std::vector<NodeRequest> open;
  for (const auto& note : reader.notes(request_notes, std::string(node) + "/")) {
    auto request = read_request(note);
    if (!request.answered) open.push_back(std::move(request));
  }
  return open;
}

std::optional<NodeRequest> node_request(store::Reader& reader, const NodeRequest& request) {
  const auto note = reader.note(request_notes, request_note(request));
  if (!note) return std::nullopt;
  return read_request(*note);
}

bool answer_request(store::Transaction& tx, const NodeRequest& answered) {
  const auto open = node_request(tx, answered);
  if (!open || open->answered) return false;
  put_request(tx, answered);
  return true;
}

void forget_request(store::Transaction& tx, const NodeRequest& request) {
  tx.delete_note(request_notes, request_note(request));
}

std::vector<NodeRequest> stale_requests(store::Reader& reader, base::Time now) {
  std::vector<NodeRequest> stale;
  for (const auto& note : reader.notes(request_notes)) {
    auto request = read_request(note);
    if (request.asked_at + requests_are_kept < now) stale.push_back(std::move(request));
  }
  return stale;
}

}  // namespace agentrouter::runs
