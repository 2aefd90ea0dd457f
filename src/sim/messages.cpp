#include "sim/messages.h"

#include <utility>

#include "base/hash.h"
#include "sim/anthropic_request.h"
#include "sim/anthropic_stream.h"
#include "sim/anthropic_tools.h"
#include "sim/director.h"

namespace agentrouter::sim {

namespace {

using std::string_view;

constexpr std::chrono::milliseconds late_counts{1000};
constexpr string_view too_long = "prompt is too long: 1000001 tokens > 1000000 maximum";
constexpr string_view no_credit =
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
    "purchase credits.";

// Codes that name an error type of Anthropic; scripts are shared with the other half, whose codes are known.
string_view type_of(string_view code, string_view otherwise) {
  if (code.ends_with("_error") || code == "request_too_large") return code;
  if (code == "rate_limit_exceeded") return "rate_limit_error";
  if (code == "insufficient_quota") return "billing_error";
  if (code == "overloaded") return "overloaded_error";
  if (code == "context_length_exceeded") return "invalid_request_error";
  return otherwise;
}

std::string message_of(string_view code, const std::string& otherwise) {
  if (code == "context_length_exceeded") return std::string(too_long);
  if (code == "insufficient_quota") return std::string(no_credit);
  if (code == "overloaded" || code == "overloaded_error") return "Overloaded";
  return otherwise;
}

Reply anthropic_http_error(const Disturbance& error) {
  const auto type = type_of(error.code, anthropic_error_type(error.status));
  const auto name = error.code.empty() ? std::string(type) : error.code;
  auto reply = anthropic_error(
      error.status, type,
      message_of(error.code, "Simulated error " + std::to_string(error.status) + " (" + name + ")."));
  if (error.retry_after) reply.headers.push_back({"retry-after", std::to_string(*error.retry_after)});
  reply.chunks.front().delay = error.sleep;
  return reply;
}

std::size_t tokens_of_request(string_view body) {
  return std::max<std::size_t>(1, tokens(body.size()));
}

// What the first event of an answer reports.
std::optional<std::size_t> first_count(const Usage& usage, string_view body) {
  if (usage.kind == Usage::Kind::none) return std::nullopt;
  if (usage.arrival == Usage::Arrival::late) return 0;
  return usage.kind == Usage::Kind::fixed ? usage.input : tokens_of_request(body);
}

json::value filler(const json::value& schema) {
  const auto* object = schema.if_object();
  const auto type = object ? base::get_string(*object, "type").value_or("") : "";
  if (type == "boolean") return false;
  if (type == "integer" || type == "number") return 0;
  if (type == "array") return json::array();
  if (type == "object") return json::object();
  return "Simulated";
}

// Answers one request; the writer collects what is said.
class MessageAnswer {
 public:
  MessageAnswer(const Call& call, const MessagesRequest& request, const Usage& usage)
      : call_(call),
        request_(request),
        usage_(usage),
        writer_(base::Sha256::hex_of(call.body), request.model, first_count(usage, call.body)) {}

  Reply review(Judge judge) {
    const bool allows = judge == Judge::allow;
    if (judge == Judge::garbage) {
      writer_.text("I cannot say { this is");
    } else if (request_.review.form == MessagesRequest::VerdictForm::block) {
      writer_.text(allows ? "<block>no</block>"
                          : "<block>yes</block><category>Simulated</category><reason>Simulated "
                            "review.</reason>");
    } else {
      writer_.text(base::to_text(verdict(allows)));
    }
    return finish("end_turn");
  }

  Reply summarise() {
    writer_.text(history_summary(request_.dialogue));
    return finish("end_turn");
  }

  Reply side_job() {
    json::object answer;
    for (const auto& property : request_.answer_schema) answer[property.key()] = filler(property.value());
    writer_.text(answer.empty() ? "Simulated." : base::to_text(answer));
    return finish("end_turn");
  }

  Reply read_first() {
    writer_.tool_use(sim::read_first(request_.unread));
    return finish("tool_use");
  }

  Reply perform(const Act& act) {
    if (!act.disturbance) return respond(act);
    writer_.pause(act.disturbance->sleep);
    if (act.disturbance->kind == Disturbance::Kind::drop) return cut_in_the_middle(respond(act), block_stop);
    return fail(act.disturbance->code);
  }

 private:
  [[nodiscard]] json::object verdict(bool allows) const {
    json::object verdict;
    for (const auto& property : request_.review.properties) {
      const auto& name = property.key();
      if (name == "outcome") verdict[name] = allows ? "allow" : "deny";
      if (name == "risk_level" || name == "risk") verdict[name] = allows ? "low" : "high";
      if (name == "user_authorization") verdict[name] = allows ? "high" : "low";
      if (name == "rationale" || name == "reason") verdict[name] = "Simulated review.";
    }
    return verdict;
  }

  Reply respond(const Act& act) {
    const auto& response = act.response;
    writer_.pause(response.sleep);
    for (const auto& utterance : response.utterances) {
      if (utterance.kind == Utterance::Kind::say) {
        writer_.text(utterance.text);
      } else {
        writer_.thinking(utterance.text);
      }
    }
    std::vector<ToolUse> chosen;
    for (const auto& call : response.calls) {
      auto use = choose_tool_use(call, request_);
      if (!use) {
        writer_.text(no_tool_fits(call, request_.tools));
        return finish("end_turn");
      }
      chosen.push_back(std::move(*use));
    }
    for (const auto& use : chosen) writer_.tool_use(use);
    if (act.final_text) writer_.text(*act.final_text);
    return finish(chosen.empty() ? "end_turn" : "tool_use");
  }

  Reply fail(const std::string& code) {
    if (code == "refusal" || code == "content_filter") {
      writer_.text("I can't help with that.");
      return finish("refusal");
    }
    if (code == "max_tokens") {
      writer_.text("This answer is cut off in the");
      return finish("max_tokens");
    }
    if (code == "context_length_exceeded") return finish("model_context_window_exceeded");
    writer_.failed(type_of(code, "api_error"), message_of(code, "Simulated failure (" + code + ")."));
    return take();
  }

  Reply finish(string_view reason) {
    auto counts = std::optional(TokenCounts{tokens_of_request(call_.body), writer_.output_tokens(), 0});
    if (usage_.kind == Usage::Kind::fixed) counts = TokenCounts{usage_.input, usage_.output, 0};
    if (usage_.kind == Usage::Kind::none) counts.reset();
    if (usage_.arrival == Usage::Arrival::late) writer_.pause(late_counts);
    writer_.stopped(reason, counts);
    return take();
  }

  Reply take() {
    if (request_.stream) return std::move(writer_).take_stream();
    return std::move(writer_).take_document();
  }

  const Call& call_;
  const MessagesRequest& request_;
  Usage usage_;
  MessageWriter writer_;
};

Reply json_reply(const json::object& body) {
  return Reply{.headers = {{"content-type", "application/json"}}, .chunks = {{.bytes = base::to_text(body)}}};
}

}  // namespace

Reply answer_messages(const Call& call, Memory& memory) {
  const auto request = read_messages_request(call.body);
  if (!request) return anthropic_error(400, "", request.error().message);
  using enum MessagesRequest::Purpose;
  const auto& review = request->review;
  if (request->purpose == verdict)
    return MessageAnswer(call, *request, {}).review(next_judgement(review.transcript, review.calls));
  if (request->purpose == summary) return MessageAnswer(call, *request, {}).summarise();
  if (request->purpose == side_job) return MessageAnswer(call, *request, {}).side_job();
  if (!request->unread.empty() && request->offers("Read"))
    return MessageAnswer(call, *request, {}).read_first();
  const auto act = next_act(request->dialogue, memory);
  if (act.disturbance && act.disturbance->kind == Disturbance::Kind::error)
    return anthropic_http_error(*act.disturbance);
  return MessageAnswer(call, *request, act.response.usage).perform(act);
}

Reply answer_count_tokens(const Call& call) {
  const auto request = read_messages_request(call.body);
  if (!request) return anthropic_error(400, "", request.error().message);
  return json_reply({{"input_tokens", tokens_of_request(call.body)}});
}

Reply answer_claude_models() {
  const json::object model{{"type", "model"},
                           {"id", "claude-opus-5-5"},
                           {"display_name", "Simulated model"},
                           {"created_at", "2026-01-01T00:00:00Z"}};
  return json_reply({{"data", json::array{model}},
                     {"has_more", false},
                     {"first_id", model.at("id")},
                     {"last_id", model.at("id")}});
}

}  // namespace agentrouter::sim
