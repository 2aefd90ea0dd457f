#include <agentrouter/agent.hpp>
#include <algorithm>

namespace agentrouter {
namespace {

using std::chrono::milliseconds;

AgentRunResult result_of(RunSession session) {
  AgentRunResult result{.id = session.run.id, .status = session.run.status};
  if (session.response) result.text = session.response->text;
  result.session = std::move(session);
  return result;
}

void require(bool given, std::string_view code) {
  if (!given) {
    throw Error(std::string(code),
                "give a task for a new run, or continue_run and a message for a conversation");
  }
}

bool complete(const CreateRunRequest& request) {
  return !request.task.empty();
}
bool complete(const ContinueRunRequest& request) {
  return !request.continue_run.empty() && !request.message.empty();
}

}  // namespace

AgentRunResult run_agent(const Client& client, const CreateRunRequest& request, const WaitOptions& wait) {
  require(complete(request), "invalid_run_agent_request");
  return result_of(client.create_run_and_wait(request, wait));
}

AgentRunResult run_agent(const Client& client, const ContinueRunRequest& request, const WaitOptions& wait) {
  require(complete(request), "invalid_run_agent_request");
  const auto turn = client.continue_run(request, {.stop = wait.stop});
  return result_of(client.wait_for_run(turn.run_id, wait));
}

PartStream::PartStream(EventStream events) : events_(std::move(events)) {}
PartStream::PartStream(PartStream&&) noexcept = default;
PartStream& PartStream::operator=(PartStream&&) noexcept = default;
PartStream::~PartStream() = default;

std::optional<AgentStreamPart> PartStream::next() {
  while (const auto event = events_.next()) {
    if (auto part = part_of(*event)) return part;
  }
  return std::nullopt;
}

TextStream::TextStream(EventStream events) : events_(std::move(events)) {}
TextStream::TextStream(TextStream&&) noexcept = default;
TextStream& TextStream::operator=(TextStream&&) noexcept = default;
TextStream::~TextStream() = default;

std::optional<std::string> TextStream::next() {
  while (const auto event = events_.next()) {
    if (event->type != "agent.response") continue;
    if (const auto text = event->payload["text"].as_string(); !text.empty()) return std::string(text);
  }
  return std::nullopt;
}

struct AgentRunStream::State {
  Client client;
  StreamAgentOptions options;
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
  Run run = {};
  std::string conversation_id = {};
  std::optional<int> turn_number = {};

  [[nodiscard]] milliseconds left() const {
    const auto since = std::chrono::steady_clock::now() - begun;
    return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(options.max_wait - since));
  }
};

AgentRunStream::AgentRunStream(std::shared_ptr<const State> state) : state_(std::move(state)) {}
AgentRunStream::AgentRunStream(const AgentRunStream&) = default;
AgentRunStream::AgentRunStream(AgentRunStream&&) noexcept = default;
AgentRunStream& AgentRunStream::operator=(const AgentRunStream&) = default;
AgentRunStream& AgentRunStream::operator=(AgentRunStream&&) noexcept = default;
AgentRunStream::~AgentRunStream() = default;

const Run& AgentRunStream::run() const {
  return state_->run;
}
const std::string& AgentRunStream::conversation_id() const {
  return state_->conversation_id;
}
std::optional<int> AgentRunStream::turn_number() const {
  return state_->turn_number;
}

EventStream AgentRunStream::events() const {
  const auto& options = state_->options;
  return state_->client.stream_run(state_->run.id, {.after_seq = options.after_seq,
                                                    .stop = options.stop,
                                                    .max_wait = state_->left(),
                                                    .poll_interval = options.poll_interval});
}
PartStream AgentRunStream::full_stream() const {
  return PartStream(events());
}
TextStream AgentRunStream::text_stream() const {
  return TextStream(events());
}

AgentRunResult AgentRunStream::final_result() const {
  const auto& [client, options, begun, run, conversation, turn] = *state_;
  auto session = client.get_run_session(run.id, {.stop = options.stop});
  if (!is_terminal(session.run.status)) {
    session = client.wait_for_run(run.id, {.after_seq = session.last_event_seq,
                                           .max_wait = state_->left(),
                                           .poll_interval = options.poll_interval,
                                           .stop = options.stop});
  }
  return result_of(std::move(session));
}

AgentRunStream stream_agent(const Client& client, const CreateRunRequest& request,
                            const StreamAgentOptions& options) {
  require(complete(request), "invalid_stream_agent_request");
  auto state = std::make_shared<AgentRunStream::State>(AgentRunStream::State{client, options});
  state->run = client.create_run(request, {.stop = options.stop});
  const auto& run = state->run;
  state->conversation_id = run.conversation_id.empty() ? run.id : run.conversation_id;
  return AgentRunStream(std::move(state));
}

AgentRunStream stream_agent(const Client& client, const ContinueRunRequest& request,
                            const StreamAgentOptions& options) {
  require(complete(request), "invalid_stream_agent_request");
  auto state = std::make_shared<AgentRunStream::State>(AgentRunStream::State{client, options});
  const auto turn = client.continue_run(request, {.stop = options.stop});
  state->run = client.get_run(turn.run_id, {.stop = options.stop});
  state->conversation_id = turn.conversation_id;
  state->turn_number = turn.turn_number;
  return AgentRunStream(std::move(state));
}

}  // namespace agentrouter
