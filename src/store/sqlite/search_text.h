#pragma once
// The full text of runs: task and last answer, in the contentless FTS5 table run_search.

#include <cstdint>

#include "store/sqlite/statement.h"

namespace agentrouter::store {

// An FTS5 expression that any text can become: each of its words as a quoted string, all of them required.
// Empty when there is no word.
[[nodiscard]] std::string search_expression(std::string_view text);
// What stands in the column `workspace`: one word for the tokenizer, whatever the workspace is called.
[[nodiscard]] std::string workspace_word(std::string_view workspace);
// The same expression in what belongs to this workspace.
[[nodiscard]] std::string search_within(std::string_view workspace, const std::string& expression);

// The text of an agent.response payload; empty when there is none.
[[nodiscard]] std::string answer_text(std::string_view payload);

void index_task(Connection& connection, std::int64_t run, std::string_view workspace, std::string_view task);
// `before` must be what was indexed as the answer until now: an index without content forgets only what it is
// told again.
void index_answer(Connection& connection, std::int64_t run, std::string_view workspace,
                  std::string_view before, std::string_view answer);

// What is given must be what was indexed.
void forget_texts(Connection& connection, std::int64_t run, std::string_view workspace, std::string_view task,
                  std::string_view answer);

}  // namespace agentrouter::store
