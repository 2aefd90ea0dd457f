#include "sim/responses.h"

#include <utility>

#include "base/hash.h"
#include "sim/director.h"
#include "sim/openai_request.h"
#include "sim/openai_stream.h"
#include "sim/openai_tools.h"

namespace agentrouter::sim {

namespace {

constexpr std::chrono::milliseconds late_usage{1000};

std::string_view code_of(int status) {
  switch (status) {
    case 401:
      return "invalid_api_key";
    case 403:
      return "forbidden";
    case 404:
      return "model_not_found";
    case 429:
      return "rate_limit_exceeded";
    default:
      return status >= 500 ? "server_error" : "invalid_request";
  }
}

Reply http_error(const Disturbance& error) {
  const auto code = error.code.empty() ? std::string(code_of(error.status)) : error.code;
  auto reply =
      error_reply(error.status, code, "Simulated error " + std::to_string(error.status) + " (" + code + ").");
  if (error.retry_after) reply.headers.push_back({"retry-after", std::to_string(*error.retry_after)});
  reply.chunks.front().delay = error.sleep;
  return reply;
}

// The words in which the provider tells why; clients read the pause out of the first.
std::string failure_message(const std::string& code) {
  if (code == "rate_limit_exceeded") return "Rate limit reached. Please try again in 1s.";
  if (code == "context_length_exceeded") return "Your input exceeds the context window of this model.";
  if (code == "insufficient_quota") return "You exceeded your current quota.";
  return "Simulated failure (" + code + ").";
}

// Answers one request; the writer collects what is said.
class Answer {
 public:
  Answer(const Call& call, const ResponsesRequest& request)
      : call_(call), request_(request), writer_(base::Sha256::hex_of(call.body), request.model) {}

  Reply review(Judge judge) {
    const bool allows = judge == Judge::allow;
    json::object verdict;
    for (const auto& property : request_.review->properties) {
      const auto& name = property.key();
      if (name == "outcome") verdict[name] = allows ? "allow" : "deny";
      if (name == "risk_level" || name == "risk") verdict[name] = allows ? "low" : "high";
      if (name == "user_authorization") verdict[name] = allows ? "high" : "low";
      if (name == "rationale" || name == "reason") verdict[name] = "Simulated review.";
    }
    writer_.message(judge == Judge::garbage ? "I cannot say { this is" : base::to_text(verdict));
    return finish({});
  }

  Reply summarise() {
    writer_.message(summary_of(request_.dialogue));
    return finish({});
  }

  Reply poll() {
    for (const auto session : request_.running) writer_.call(poll_running(session));
    return finish({});
  }

  Reply perform(const Act& act) {
    if (!act.disturbance) return respond(act);
    const auto& disturbance = *act.disturbance;
    if (disturbance.kind == Disturbance::Kind::error) return http_error(disturbance);
    writer_.pause(disturbance.sleep);
    if (disturbance.kind == Disturbance::Kind::drop) return cut_in_the_middle(respond(act), item_done);
    return fail(disturbance.code);
  }

 private:
  Reply respond(const Act& act) {
    const auto& response = act.response;
    writer_.pause(response.sleep);
    for (const auto& utterance : response.utterances) {
      if (utterance.kind == Utterance::Kind::say) {
        writer_.message(utterance.text);
      } else {
        writer_.reasoning(utterance.text);
      }
    }
    std::vector<ItemCall> chosen;
    for (const auto& call : response.calls) {
      auto item = choose_tool(call, request_);
      if (!item) {
        writer_.message(no_tool_message(call, request_));
        return finish(response.usage);
      }
      chosen.push_back(std::move(*item));
    }
    for (const auto& item : chosen) writer_.call(item);
    if (act.final_text) writer_.message(*act.final_text);
    return finish(response.usage);
  }

  Reply fail(const std::string& code) {
    const auto usage = writer_.measured(call_.body.size());
    if (code == "refusal") {
      writer_.refusal("I can't help with that.");
      writer_.completed(usage);
    } else if (code == "max_tokens") {
      writer_.incomplete("max_output_tokens", usage);
    } else if (code == "content_filter") {
      writer_.incomplete(code, usage);
    } else {
      writer_.failed(code, failure_message(code));
    }
    return take();
  }

  Reply finish(const Usage& usage) {
    auto counts = std::optional(writer_.measured(call_.body.size()));
    if (usage.kind == Usage::Kind::fixed) counts = TokenCounts{usage.input, usage.output, 0};
    if (usage.kind == Usage::Kind::none) counts.reset();
    if (usage.arrival == Usage::Arrival::late) writer_.pause(late_usage);
    writer_.completed(counts);
    return take();
  }

  Reply take() {
    if (request_.stream) return std::move(writer_).take_stream();
    return std::move(writer_).take_document();
  }

  const Call& call_;
  const ResponsesRequest& request_;
  ResponseWriter writer_;
};

// The script goes on by typing into the command that runs. A copy of the memory: nothing fires by looking.
bool types_next(const ResponsesRequest& request, Memory memory) {
  const auto act = next_act(request.dialogue, memory);
  const auto* call =
      act.response.calls.empty() ? nullptr : std::get_if<NamedTool>(&act.response.calls.front());
  return call && call->tool == "write_stdin";
}

}  // namespace

Reply answer_responses(const Call& call, Memory& memory) {
  const auto request = read_responses_request(call.body);
  if (!request) return error_reply(400, "invalid_request", request.error().message);
  Answer answer(call, *request);
  if (request->review)
    return answer.review(next_judgement(request->review->transcript, request->review->calls));
  if (request->wants_summary) return answer.summarise();
  const bool polls = !request->running.empty() && request->find_tool("write_stdin");
  if (polls && !types_next(*request, memory)) return answer.poll();
  return answer.perform(next_act(request->dialogue, memory));
}

Reply answer_models() {
  const json::object model{{"id", "gpt-5.5"}, {"object", "model"}, {"created", 0}, {"owned_by", "sim"}};
  const json::object list{{"object", "list"}, {"data", json::array{model}}, {"models", json::array()}};
  return Reply{.headers = {{"content-type", "application/json"}}, .chunks = {{.bytes = base::to_text(list)}}};
}

}  // namespace agentrouter::sim
