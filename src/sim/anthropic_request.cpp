#include "sim/anthropic_request.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <set>

namespace agentrouter::sim {

namespace {

using std::string_view;

constexpr base::JsonLimits message_limits{.max_depth = 128, .max_bytes = 64u << 20};
constexpr string_view cli_mark = "x-anthropic-billing-header:";
constexpr string_view text_only_request = "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.";
constexpr string_view summary_task = "Your task is to create a detailed summary of ";
constexpr string_view continued = "This session is being continued from a previous conversation";
constexpr string_view interrupted = "[Request interrupted by user";
constexpr string_view stopped_notice = "Your response above was stopped by a safety classifier";
constexpr string_view cut_off_notice = "Output token limit hit. Resume directly";
constexpr string_view not_read = "has not been read yet";
constexpr string_view directory_line = "Primary working directory: ";
constexpr string_view results_carried = "Tool results so far: ";
constexpr string_view quote = "> ";
constexpr std::size_t longest_memory = 64u << 10;

void append_line(std::string& to, string_view text) {
  if (!to.empty()) to += '\n';
  to += text;
}

// Calls `use` with each block of a message's content; a string is one block of text.
template <class Use>
void each_block(const json::value* content, Use use) {
  if (!content) return;
  if (content->is_string()) use(json::object{{"type", "text"}, {"text", content->get_string()}});
  if (!content->is_array()) return;
  for (const auto& block : content->get_array()) {
    if (block.is_object()) use(block.get_object());
  }
}

std::string texts(const json::value* content) {
  std::string all;
  each_block(content, [&](const json::object& block) {
    if (const auto text = base::get_string(block, "text")) append_line(all, *text);
  });
  return all;
}

template <class Use>
void each_line(string_view text, Use use) {
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

bool speaks_script(string_view text) {
  return text.starts_with("sim:") || text.find("\nsim:") != string_view::npos;
}

std::size_t count_after(string_view text, string_view phrase) {
  std::size_t number = 0;
  const auto at = text.rfind(phrase);
  if (at == string_view::npos) return 0;
  const auto rest = text.substr(at + phrase.size());
  std::from_chars(rest.data(), rest.data() + rest.size(), number);
  return number;
}

// One thing said or done, in order.
struct Item {
  enum class Kind { user, summary, interruption, said, call, result } kind = Kind::user;
  std::string text;  // of a call its file, of a result what came back
  std::string id;
  bool failed = false;    // a result that is an error
  bool is_alone = false;  // a call that is the only one of its message
};

class History {
 public:
  explicit History(const json::array& messages) {
    for (const auto& message : messages) {
      const auto* object = message.if_object();
      if (!object) continue;
      const auto role = base::get_string(*object, "role").value_or("");
      if (role == "user") add_user(object->if_contains("content"));
      if (role == "assistant") add_assistant(object->if_contains("content"));
    }
  }

  [[nodiscard]] const std::vector<Item>& items() const { return items_; }

 private:
  void add_user(const json::value* content) {
    bool answers = false;
    bool speaks = false;
    each_block(content, [&](const json::object& block) {
      if (base::get_string(block, "type") == "tool_result") {
        answers = true;
        auto text = texts(block.if_contains("content"));
        const bool failed = base::get_bool(block, "is_error").value_or(false);
        const auto id = std::string(base::get_string(block, "tool_use_id").value_or(""));
        items_.push_back({Item::Kind::result, std::move(text), id, failed});
        return;
      }
      const auto text = base::get_string(block, "text").value_or("");
      if (text.starts_with(interrupted)) items_.push_back({Item::Kind::interruption, std::string(text)});
      if (text.starts_with(interrupted)) answers = false;
      if (text.starts_with(continued)) items_.push_back({Item::Kind::summary, std::string(text)});
      if (text.starts_with(continued) || is_from_cli(text)) return;
      // Beside results the CLI puts words of its own.
      if (answers && !speaks_script(text)) return;
      if (speaks) return append_line(items_.back().text, text);
      speaks = true;
      items_.push_back({Item::Kind::user, std::string(text)});
    });
  }

  void add_assistant(const json::value* content) {
    std::size_t calls = 0;
    each_block(content, [&](const json::object& block) {
      const auto type = base::get_string(block, "type").value_or("");
      if (type == "text") {
        items_.push_back({Item::Kind::said, std::string(base::get_string(block, "text").value_or(""))});
      }
      if (type != "tool_use") return;
      ++calls;
      const auto* input = base::get_object(block, "input");
      const auto file = input ? base::get_string(*input, "file_path").value_or("") : "";
      const auto id = std::string(base::get_string(block, "id").value_or(""));
      items_.push_back({Item::Kind::call, std::string(file), id});
    });
    if (calls == 1) std::find_if(items_.rbegin(), items_.rend(), is_call)->is_alone = true;
  }

  static bool is_call(const Item& item) { return item.kind == Item::Kind::call; }

  std::vector<Item> items_;
};

// Walks what follows the task: counts results, and finds a file that must be read before the script goes on.
class TurnProgress {
 public:
  void add(const Item& item) {
    if (item.kind == Item::Kind::call) calls_[item.id] = item;
    if (item.kind == Item::Kind::result) add_result(item);
  }

  std::size_t results = 0;
  std::string unread;

 private:
  void add_result(const Item& item) {
    const auto call = calls_.find(item.id);
    const auto file = call == calls_.end() ? std::string() : call->second.text;
    unread.clear();
    if (item.id.starts_with(preparing_id)) {
      read_.insert(file);
      return;
    }
    const bool refused = item.failed && item.text.find(not_read) != std::string::npos;
    if (refused && !file.empty() && call->second.is_alone && !read_.contains(file)) {
      unread = file;
    } else {
      ++results;
    }
  }

  std::map<std::string, Item> calls_;
  std::set<std::string> read_;
};

// The script and the words that a summary carried on.
struct Carried {
  std::string task;
  std::string earlier;
  std::size_t results = 0;
};

Carried carried_by(string_view summary) {
  Carried carried{.results = count_after(summary, results_carried)};
  each_line(summary, [&](string_view line) {
    if (line.starts_with("sim:")) append_line(carried.task, line);
    if (line.starts_with(quote)) append_line(carried.earlier, line.substr(quote.size()));
  });
  return carried;
}

std::string session_of(const json::object& body) {
  const auto* metadata = base::get_object(body, "metadata");
  return metadata ? std::string(base::get_string(*metadata, "user_id").value_or("")) : std::string();
}

Dialogue read_turns(const json::object& body, const std::vector<Item>& items, std::string& unread) {
  const auto is_task = [](const Item& item) { return item.kind == Item::Kind::user; };
  const auto has_lines = [](const Item& item) {
    return (item.kind == Item::Kind::user || item.kind == Item::Kind::summary) && speaks_script(item.text);
  };
  Dialogue dialogue;
  auto task = std::find_if(items.rbegin(), items.rend(), has_lines);
  if (task == items.rend()) task = std::find_if(items.rbegin(), items.rend(), is_task);
  if (task == items.rend()) return dialogue;

  dialogue.task = task->text;
  TurnProgress progress;
  if (task->kind == Item::Kind::summary) {
    auto carried = carried_by(task->text);
    dialogue.task = std::move(carried.task);
    dialogue.earlier = std::move(carried.earlier);
    progress.results = carried.results;
  }
  const auto at = std::prev(task.base());
  std::size_t ordinal = 1;
  for (auto item = items.begin(); item != at; ++item) {
    if (is_task(*item)) ++ordinal;
    if (item->kind == Item::Kind::summary) {
      append_line(dialogue.earlier, carried_by(item->text).earlier);
    } else {
      append_line(dialogue.earlier, item->text);
    }
  }
  std::for_each(std::next(at), items.end(), [&](const Item& item) { progress.add(item); });
  dialogue.place = session_of(body) + '#' + std::to_string(ordinal);
  dialogue.results = progress.results;
  unread = progress.unread;
  return dialogue;
}

struct OfferedTools {
  std::vector<std::string> names;
  bool any_of_client = false;
};

OfferedTools tools_of_client(const json::object& body) {
  OfferedTools tools;
  const auto* given = base::get_array(body, "tools");
  if (!given) return tools;
  for (const auto& tool : *given) {
    const auto* object = tool.if_object();
    const auto name = object ? base::get_string(*object, "name") : std::nullopt;
    if (!name) continue;
    tools.names.emplace_back(*name);
    // Tools that the provider carries out have a dated type instead of a schema.
    if (object->contains("input_schema")) tools.any_of_client = true;
  }
  return tools;
}

// The CLI says it in the system prompt or, with newer models, in a message of role "system".
std::string directory_in(const json::object& body, const json::array& messages) {
  std::string all = texts(body.if_contains("system"));
  for (const auto& message : messages) {
    const auto* object = message.if_object();
    if (object && base::get_string(*object, "role") == "system")
      append_line(all, texts(object->if_contains("content")));
  }
  const auto at = all.find(directory_line);
  if (at == std::string::npos) return {};
  const auto begin = at + directory_line.size();
  return all.substr(begin, all.find('\n', begin) - begin);
}

json::object schema_of_answer(const json::object& body) {
  const auto* config = base::get_object(body, "output_config");
  const auto* format = config ? base::get_object(*config, "format") : nullptr;
  const auto* schema = format ? base::get_object(*format, "schema") : nullptr;
  const auto* properties = schema ? base::get_object(*schema, "properties") : nullptr;
  return properties ? *properties : json::object();
}

// Claude Code writes each line of the transcript as an object: {"user":"..."} or {"Bash":"ls"}.
void add_transcript_line(MessagesRequest::Review& review, string_view line) {
  const auto value = base::parse_json(line);
  const auto* object = value ? value->if_object() : nullptr;
  if (!object || object->empty()) {
    if (line.find("] tool ") < 8 && line.find(" call: ") != string_view::npos) ++review.calls;
    return append_line(review.transcript, line);
  }
  const auto said = base::get_string(*object, "user");
  if (!said) ++review.calls;
  if (!said || !speaks_script(*said)) return;
  review.transcript = *said;
  review.calls = 0;
}

MessagesRequest::Review read_verdict_request(const json::array& messages) {
  MessagesRequest::Review review;
  for (const auto& message : messages) {
    const auto* object = message.if_object();
    if (!object || base::get_string(*object, "role") != "user") continue;
    each_line(texts(object->if_contains("content")),
              [&](string_view line) { add_transcript_line(review, line); });
  }
  return review;
}

MessagesRequest::Purpose purpose_of(const MessagesRequest& request, const json::object& body,
                                    const json::array& messages, bool has_client_tools) {
  using enum MessagesRequest::Purpose;
  if (request.answer_schema.contains("outcome")) return verdict;
  const auto system = texts(body.if_contains("system"));
  const bool is_from_claude_code = system.starts_with(cli_mark);
  if (!has_client_tools && system.find("<block>yes</block>") != std::string::npos) return verdict;
  const auto* last = messages.empty() ? nullptr : messages.back().if_object();
  bool asks_for_summary = false;
  if (last) {
    each_block(last->if_contains("content"), [&](const json::object& block) {
      const auto text = base::get_string(block, "text").value_or("");
      asks_for_summary =
          asks_for_summary || text.starts_with(text_only_request) || text.starts_with(summary_task);
    });
  }
  if (asks_for_summary) return summary;
  return is_from_claude_code && !has_client_tools ? side_job : turn;
}

}  // namespace

bool MessagesRequest::offers(string_view tool) const {
  return std::find(tools.begin(), tools.end(), tool) != tools.end();
}

std::string history_summary(const Dialogue& dialogue) {
  std::string lines;
  if (!dialogue.earlier.empty()) append_line(lines, "Said and done before:");
  const auto begin = dialogue.earlier.size() - std::min(dialogue.earlier.size(), longest_memory);
  each_line(string_view(dialogue.earlier).substr(begin), [&](string_view line) {
    if (!line.empty()) append_line(lines, std::string(quote) + std::string(line));
  });
  append_line(lines, "The task:");
  each_line(dialogue.task, [&](string_view line) {
    if (line.starts_with("sim:")) {
      append_line(lines, line);
    } else {
      append_line(lines, std::string(quote) + std::string(line));
    }
  });
  append_line(lines, std::string(results_carried) + std::to_string(dialogue.results) + ".");
  return "<analysis>\nA simulated run.\n</analysis>\n<summary>\n" + lines + "\n</summary>";
}

bool is_from_cli(string_view text) {
  constexpr string_view tags[] = {"system-reminder",      "local-command-caveat", "local-command-stdout",
                                  "local-command-stderr", "command-name",         "command-message",
                                  "command-args",         "task-notification",    "ide_opened_file"};
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == string_view::npos) return true;
  text.remove_prefix(first);
  if (text.starts_with(stopped_notice) || text.starts_with(cut_off_notice)) return true;
  if (text.starts_with(interrupted) || text.starts_with(text_only_request) || text.starts_with(summary_task))
    return true;
  return text.starts_with('<') && std::any_of(std::begin(tags), std::end(tags), [&](string_view tag) {
           const auto rest = text.substr(1);
           return rest.starts_with(tag) && rest.size() > tag.size() &&
                  (rest[tag.size()] == '>' || rest[tag.size()] == ' ');
         });
}

base::Result<MessagesRequest> read_messages_request(string_view body) {
  AGENTROUTER_TRY(const auto value, base::parse_json(body, message_limits));
  const auto* object = value.if_object();
  if (!object) return base::fail(base::Code::invalid, "the request body is not a JSON object");
  const auto* messages = base::get_array(*object, "messages");
  if (!messages) return base::fail(base::Code::invalid, "messages: Field required");
  MessagesRequest request;
  request.model = base::get_string(*object, "model").value_or("");
  request.stream = base::get_bool(*object, "stream").value_or(false);
  auto tools = tools_of_client(*object);
  request.tools = std::move(tools.names);
  request.directory = directory_in(*object, *messages);
  request.answer_schema = schema_of_answer(*object);
  request.purpose = purpose_of(request, *object, *messages, tools.any_of_client);
  request.dialogue = read_turns(*object, History(*messages).items(), request.unread);
  if (request.purpose == MessagesRequest::Purpose::verdict) {
    request.review = read_verdict_request(*messages);
    request.review.properties = request.answer_schema;
    if (request.answer_schema.empty()) request.review.form = MessagesRequest::VerdictForm::block;
  }
  return request;
}

}  // namespace agentrouter::sim
