#include "sim/openai_request.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace agentrouter::sim {

namespace {

using std::string_view;

constexpr base::JsonLimits body_limits{.max_depth = 128, .max_bytes = 64u << 20};
constexpr string_view poll_tool = "write_stdin";
constexpr string_view summary_request = "You are performing a CONTEXT CHECKPOINT COMPACTION";
constexpr string_view summary_head = "Another language model started to solve this problem";
constexpr string_view summary_count = "Tool results so far: ";

// Calls `use` with each text of a message's content or a tool's output.
template <class Use>
void each_text(const json::value* content, Use use) {
  if (!content) return;
  if (content->is_string()) use(string_view(content->get_string()));
  if (!content->is_array()) return;
  for (const auto& part : content->get_array()) {
    const auto* object = part.if_object();
    const auto text = object ? base::get_string(*object, "text") : std::nullopt;
    if (text) use(*text);
  }
}

void add_line(std::string& to, string_view text) {
  if (!to.empty()) to += '\n';
  to += text;
}

std::string joined(const json::value* content) {
  std::string all;
  each_text(content, [&](string_view text) { add_line(all, text); });
  return all;
}

std::string genuine_text(const json::object& message) {
  std::string all;
  each_text(message.if_contains("content"), [&](string_view text) {
    if (!is_injected(text)) add_line(all, text);
  });
  return all;
}

bool has_script(string_view text) {
  return text.starts_with("sim:") || text.find("\nsim:") != string_view::npos;
}

string_view type_of(const json::object& item) {
  const auto type = base::get_string(item, "type");
  if (type) return *type;
  return item.contains("role") ? "message" : "";
}

bool is_result(string_view type) {
  return type.ends_with("_output");
}

struct UserMessage {
  std::size_t index;
  std::string text;
};

std::vector<UserMessage> user_messages(const json::array& input) {
  std::vector<UserMessage> found;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const auto* item = input[i].if_object();
    if (!item || type_of(*item) != "message" || base::get_string(*item, "role") != "user") continue;
    auto text = genuine_text(*item);
    if (!text.empty()) found.push_back({i, std::move(text)});
  }
  return found;
}

// What a later turn may remember of an item.
std::string remembered(const json::object& item) {
  const auto type = type_of(item);
  if (type != "message") return is_result(type) ? joined(item.if_contains("output")) : base::to_text(item);
  const auto role = base::get_string(item, "role").value_or("");
  return role == "user" || role == "assistant" ? genuine_text(item) : std::string();
}

std::optional<std::int64_t> number_after(string_view text, string_view phrase) {
  const auto at = text.find(phrase);
  if (at == string_view::npos) return std::nullopt;
  std::int64_t number = 0;
  const auto rest = text.substr(at + phrase.size());
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  return parsed.ec == std::errc() ? std::optional(number) : std::nullopt;
}

// Walks what follows the task: counts results, and follows commands that outlive their call.
class Progress {
 public:
  void add(const json::object& item) {
    const auto type = type_of(item);
    const auto id = std::string(base::get_string(item, "call_id").value_or(""));
    if (type == "function_call" && base::get_string(item, "name") == poll_tool) {
      const auto arguments = base::parse_json(base::get_string(item, "arguments").value_or(""));
      const auto* object = arguments ? arguments->if_object() : nullptr;
      Poll poll;
      if (object) poll.session = base::get_int(*object, "session_id");
      poll.types = object && !base::get_string(*object, "chars").value_or("").empty();
      polls_[id] = poll;
    }
    if (is_result(type)) add_result(id, joined(item.if_contains("output")));
    if (type == "message" && base::get_string(item, "role") == "user") {
      add_summary(joined(item.if_contains("content")));
    }
  }

  [[nodiscard]] std::size_t results() const { return results_; }
  [[nodiscard]] std::vector<std::int64_t> running() const { return {running_.begin(), running_.end()}; }

 private:
  // Stands for everything that it replaced.
  void add_summary(string_view text) {
    if (!text.starts_with(summary_head)) return;
    const auto count = number_after(text, summary_count);
    if (count && *count >= 0) results_ = static_cast<std::size_t>(*count);
  }

  void add_result(const std::string& id, string_view output) {
    // The head of a result ends where the command's own output begins.
    const auto head = output.substr(0, output.find("Output:"));
    const auto session = number_after(head, "Process running with session ID ");
    if (session) running_.insert(*session);
    const auto poll = polls_.find(id);
    if (poll == polls_.end() || poll->second.types) ++results_;
    if (poll != polls_.end() && !session && poll->second.session) running_.erase(*poll->second.session);
  }
  // A call of `write_stdin`; one that types is a step of the script.
  struct Poll {
    std::optional<std::int64_t> session;
    bool types = false;
  };

  std::size_t results_ = 0;
  std::map<std::string, Poll> polls_;
  std::set<std::int64_t> running_;
};

void collect_tools(const json::array& tools, string_view name_space, std::vector<OfferedTool>& into) {
  for (const auto& tool : tools) {
    const auto* object = tool.if_object();
    if (!object) continue;
    // The search for tools that are not listed has a type and no name.
    constexpr string_view search = "tool_search";
    const auto name = base::get_string(*object, "name").value_or(type_of(*object) == search ? search : "");
    const auto* inner = base::get_array(*object, "tools");
    // "functions" is the namespace of tools that have none.
    if (inner && name_space.empty()) collect_tools(*inner, name == "functions" ? "" : name, into);
    if (inner || name.empty()) continue;
    const auto kind = base::get_string(*object, "type") == "custom" ? OfferedTool::Kind::custom
                                                                    : OfferedTool::Kind::function;
    into.push_back({std::string(name), std::string(name_space), kind});
  }
}

std::vector<OfferedTool> offered_tools(const json::object& body, const json::array& input) {
  std::vector<OfferedTool> tools;
  if (const auto* top = base::get_array(body, "tools")) collect_tools(*top, "", tools);
  for (const auto& item : input) {
    const auto* object = item.if_object();
    if (!object || type_of(*object) != "additional_tools") continue;
    if (const auto* more = base::get_array(*object, "tools")) collect_tools(*more, "", tools);
  }
  return tools;
}

Dialogue read_dialogue(const json::object& body, const json::array& input,
                       std::vector<std::int64_t>& running) {
  Dialogue dialogue;
  const auto messages = user_messages(input);
  if (messages.empty()) return dialogue;
  auto task =
      std::find_if(messages.rbegin(), messages.rend(), [](const auto& m) { return has_script(m.text); });
  if (task == messages.rend()) task = messages.rbegin();

  dialogue.task = task->text;
  dialogue.place = std::string(base::get_string(body, "prompt_cache_key").value_or("")) + '#' +
                   std::to_string(messages.rend() - task);
  Progress progress;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const auto* item = input[i].if_object();
    if (!item || i == task->index) continue;
    if (i < task->index) {
      add_line(dialogue.earlier, remembered(*item));
    } else {
      progress.add(*item);
    }
  }
  dialogue.results = progress.results();
  running = progress.running();
  return dialogue;
}

bool ends_with_summary_request(const json::array& input) {
  const auto* last = input.empty() ? nullptr : input.back().if_object();
  return last && base::get_string(*last, "role") == "user" &&
         joined(last->if_contains("content")).starts_with(summary_request);
}

std::optional<ReviewRequest> read_review(const json::object& body, const json::array& input) {
  const auto* text = base::get_object(body, "text");
  const auto* format = text ? base::get_object(*text, "format") : nullptr;
  const auto* schema = format ? base::get_object(*format, "schema") : nullptr;
  const auto* properties = schema ? base::get_object(*schema, "properties") : nullptr;
  if (!properties || !properties->contains("outcome")) return std::nullopt;

  ReviewRequest review{.properties = *properties};
  std::string all;
  for (const auto& message : user_messages(input)) add_line(all, message.text);
  for (std::size_t at = 0; at < all.size();) {
    const auto end = std::min(all.find('\n', at), all.size());
    auto line = string_view(all).substr(at, end - at);
    at = end + 1;
    // Codex marks each line with its author and numbers what it lists: "[2] tool exec_command call: {...}".
    constexpr string_view author = "user: ";
    if (line.starts_with(author)) line.remove_prefix(author.size());
    if (line.starts_with('[') && line.find("] tool ") < 8 && line.find(" call: ") != string_view::npos)
      ++review.calls;
    add_line(review.transcript, line);
  }
  return review;
}

}  // namespace

const OfferedTool* ResponsesRequest::find_tool(string_view name) const {
  const auto found =
      std::find_if(tools.begin(), tools.end(), [&](const auto& tool) { return tool.name == name; });
  return found == tools.end() ? nullptr : &*found;
}

std::string summary_of(const Dialogue& dialogue) {
  return "A simulated run. " + std::string(summary_count) + std::to_string(dialogue.results) + ".";
}

bool is_injected(string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == string_view::npos) return true;
  text.remove_prefix(first);
  if (text.starts_with("# AGENTS.md instructions")) return true;
  if (text.starts_with(summary_head) || text.starts_with(summary_request)) return true;
  constexpr string_view tags[] = {
      "codex_internal_context",
      "collaboration_mode",
      "command_sessions",
      "context_window_reminder",
      "current_time_reminder",
      "environment_context",
      "heartbeat",
      "hook_prompt",
      "ide_selection",
      "image_resize_notice",
      "model_switch",
      "permissions instructions",
      "recommended_plugins",
      "rollout_budget",
      "skill",
      "skills_instructions",
      "subagent_notification",
      "turn_aborted",
      "user_action",
      "user_instructions",
      "user_shell_command",
  };
  return text.front() == '<' && std::any_of(std::begin(tags), std::end(tags), [&](string_view tag) {
           const auto rest = text.substr(1);
           return rest.starts_with(tag) && rest.size() > tag.size() &&
                  (rest[tag.size()] == '>' || rest[tag.size()] == ' ');
         });
}

base::Result<ResponsesRequest> read_responses_request(string_view body) {
  AGENTROUTER_TRY(const auto value, base::parse_json(body, body_limits));
  const auto* object = value.if_object();
  if (!object) return base::fail(base::Code::invalid, "the request body is not a JSON object");
  const auto* given = object->if_contains("input");
  if (!given || !(given->is_array() || given->is_string())) {
    return base::fail(base::Code::invalid, "the request has no 'input'");
  }
  const auto input = given->is_array()
                         ? given->get_array()
                         : json::array{json::object{{"role", "user"}, {"content", given->get_string()}}};
  ResponsesRequest request;
  request.model = base::get_string(*object, "model").value_or("");
  request.stream = base::get_bool(*object, "stream").value_or(false);
  request.tools = offered_tools(*object, input);
  request.dialogue = read_dialogue(*object, input, request.running);
  request.wants_summary = ends_with_summary_request(input);
  request.review = read_review(*object, input);
  return request;
}

}  // namespace agentrouter::sim
