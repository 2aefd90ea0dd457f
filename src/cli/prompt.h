#pragma once
// Asks the person at the terminal about actions that wait, while the run goes on: nothing here blocks, so
// that a decision made elsewhere, or the end of the run, takes a question back.

#include <agentrouter/client.hpp>
#include <deque>
#include <string>

#include "cli/commands.h"

namespace agentrouter::cli {

class Prompt {
 public:
  // Asks only where Context::line_typed says that somebody is there.
  explicit Prompt(Context& context) : context_(context) {}

  // Whether an event is one that this asks about.
  [[nodiscard]] bool asks(const RunEvent& event) const;
  // Takes a new question in, or an old one back.
  void take(const RunEvent& event);
  [[nodiscard]] bool waiting() const { return !questions_.empty(); }
  // Prints the question again, below whatever was printed meanwhile.
  void ask();
  // Reads what was typed, if anything was, and does it: y and n, each with a reason behind it if there is
  // one, a to approve this and what begins like it for the rest of the run, d for details. At the end of input the questions are left to others, with a word on how. Throws
  // Error.
  void poll();

 private:
  struct Question {
    ActionDecisionRequest decision;
    std::string name;
    Json action;
  };
  void drop(std::string_view action_id);
  void decide(bool approve, const std::string& reason);
  void show_details();
  void approve_like();

  Context& context_;
  std::deque<Question> questions_;
  bool input_ended_ = false;
};

}  // namespace agentrouter::cli
