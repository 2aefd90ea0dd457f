#include "store/sqlite/search_text.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"

namespace agentrouter::store {

namespace {

constexpr std::size_t most_words = 64;

// What separates the words of the index: everything in ASCII but letters and digits. Characters beyond ASCII
// are the tokenizer's business.
bool separates(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x80 && std::isalnum(byte) == 0;
}

}  // namespace

std::string workspace_word(std::string_view workspace) {
  return "w" + base::to_hex(reinterpret_cast<const std::uint8_t*>(workspace.data()), workspace.size());
}

std::string search_expression(std::string_view text) {
  const auto clean = base::to_utf8(text);
  std::string expression;
  std::size_t words = 0;
  for (std::size_t at = 0; at < clean.size() && words < most_words;) {
    const auto begin = at;
    while (at < clean.size() && !separates(clean[at])) ++at;
    if (at > begin) {
      if (words++ != 0) expression += ' ';
      expression.append("\"").append(clean, begin, at - begin).append("\"");
    }
    ++at;
  }
  return expression;
}

std::string search_within(std::string_view workspace, const std::string& expression) {
  if (expression.empty()) return {};
  return "workspace : \"" + workspace_word(workspace) + "\" AND {task answer} : (" + expression + ")";
}

std::string answer_text(std::string_view payload) {
  const auto value = base::parse_json(payload, {.max_depth = 128});
  const auto* object = value ? value->if_object() : nullptr;
  return object == nullptr ? std::string() : std::string(base::get_string(*object, "text").value_or(""));
}

void index_task(Connection& connection, std::int64_t run, std::string_view workspace, std::string_view task) {
  const auto word = workspace_word(workspace);
  connection.statement("INSERT INTO run_search (rowid, workspace, task, answer) VALUES (?, ?, ?, '')")
      .bind(run)
      .bind(word)
      .bind(task)
      .run();
}

void forget_texts(Connection& connection, std::int64_t run, std::string_view workspace, std::string_view task,
                  std::string_view answer) {
  const auto word = workspace_word(workspace);
  connection
      .statement(
          "INSERT INTO run_search (run_search, rowid, workspace, task, answer) VALUES ('delete', ?, ?, ?, ?)")
      .bind(run)
      .bind(word)
      .bind(task)
      .bind(answer)
      .run();
}

void index_answer(Connection& connection, std::int64_t run, std::string_view workspace,
                  std::string_view before, std::string_view answer) {
  std::string task;
  {
    auto statement = connection.statement("SELECT task FROM run_texts WHERE run = ?");
    statement.bind(run);
    if (statement.step()) task = statement.text(0);
  }
  forget_texts(connection, run, workspace, task, before);
  const auto word = workspace_word(workspace);
  connection.statement("INSERT INTO run_search (rowid, workspace, task, answer) VALUES (?, ?, ?, ?)")
      .bind(run)
      .bind(word)
      .bind(task)
      .bind(answer)
      .run();
}

}  // namespace agentrouter::store
