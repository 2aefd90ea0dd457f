#include "egress/stream_secrets.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "base/json.h"

namespace agentrouter::egress {
namespace {

constexpr std::string_view secret = "sk-red/actme-0123456789";
constexpr std::array<std::string_view, 3> parts{"it is sk-red", "/actme-012345", "6789 and more"};

std::string frame(const json::object& event) {
  return "event: e\ndata: " + base::to_text(event) + "\n\n";
}

// The strings of the events at these keys, joined.
std::string joined(std::string_view stream, const std::vector<std::string>& path) {
  std::string all;
  while (!stream.empty()) {
    const auto end = stream.find('\n');
    auto line = stream.substr(0, end);
    stream.remove_prefix(end + 1);
    if (!line.starts_with("data: ")) continue;
    auto value = base::value_or_throw(base::parse_json(line.substr(6)));
    for (const auto& key : path) {
      const auto* inner = value.is_array() ? &value.as_array().at(0) : value.as_object().if_contains(key);
      value = inner == nullptr ? json::value() : json::value(*inner);
      if (value.is_null()) break;
    }
    if (const auto* text = value.if_string()) all += *text;
  }
  return all;
}

class StreamSecrets : public ::testing::Test {
 protected:
  std::string clean(const std::string& stream) const { return without_split_secrets(stream, redactor_); }

  base::Redactor redactor_{std::vector<std::string_view>{secret}, base::system_entropy()};
};

TEST_F(StreamSecrets, SecretOverThreeDeltasGoesInWhateverEventTheyCome) {
  struct Case {
    json::object event;
    std::vector<std::string> path;
  };
  const auto with = [](json::object event, const std::vector<std::string>& path, std::string_view text) {
    json::value* value = nullptr;
    json::value whole(std::move(event));
    value = &whole;
    for (const auto& key : path)
      value = value->is_array() ? &value->as_array().at(0) : &value->as_object()[key];
    *value = text;
    return whole.as_object();
  };
  const std::vector<Case> cases{
      {{{"type", "response.output_text.delta"}, {"item_id", "m"}, {"output_index", 0}, {"delta", ""}},
       {"delta"}},
      {{{"type", "response.function_call_arguments.delta"}, {"item_id", "f"}, {"delta", ""}}, {"delta"}},
      {{{"type", "response.reasoning_summary_text.delta"}, {"summary_index", 0}, {"delta", ""}}, {"delta"}},
      {{{"type", "response.custom_tool_call_input.delta"}, {"delta", ""}}, {"delta"}},
      {{{"type", "content_block_delta"}, {"index", 1}, {"delta", {{"type", "text_delta"}, {"text", ""}}}},
       {"delta", "text"}},
      {{{"type", "content_block_delta"},
        {"index", 1},
        {"delta", {{"type", "input_json_delta"}, {"partial_json", ""}}}},
       {"delta", "partial_json"}},
      {{{"type", "content_block_delta"},
        {"index", 1},
        {"delta", {{"type", "thinking_delta"}, {"thinking", ""}}}},
       {"delta", "thinking"}},
      {{{"choices", json::array{json::object{{"delta", {{"content", ""}}}}}}},
       {"choices", "0", "delta", "content"}}};
  for (const auto& one : cases) {
    std::string stream;
    for (const auto part : parts) stream += frame(with(one.event, one.path, part));
    EXPECT_EQ(joined(stream, one.path), "it is " + std::string(secret) + " and more");
    EXPECT_EQ(joined(clean(stream), one.path), "it is [REDACTED] and more") << stream;
  }
}

TEST_F(StreamSecrets, TextsThatComeInTurnsAreToldApart) {
  const auto delta = [](int index, std::string_view text) {
    return frame({{"type", "content_block_delta"},
                  {"index", index},
                  {"delta", {{"type", "text_delta"}, {"text", text}}}});
  };
  const auto cleaned = clean(delta(0, parts[0]) + delta(1, "other ") + delta(0, parts[1]) +
                             delta(1, "words") + delta(0, parts[2]));
  EXPECT_EQ(joined(cleaned, {"delta", "text"}), "it is [REDACTED]other words and more");
  const auto apart = delta(0, parts[0]) + delta(1, parts[1]) + delta(2, parts[2]);
  EXPECT_EQ(clean(apart), apart);
}

TEST_F(StreamSecrets, EscapedArgumentsLoseASecretAndStayJson) {
  const base::Redactor redactor(std::vector<std::string_view>{"newline\"secret"}, base::system_entropy());
  const auto delta = [](std::string_view text) {
    return frame({{"type", "response.function_call_arguments.delta"}, {"item_id", "f"}, {"delta", text}});
  };
  const auto cleaned = without_split_secrets(
      delta(R"({"a":"\newline\)") + delta(R"("secr)") + delta(R"(et newline\"se)") + delta(R"(cret"})"),
      redactor);
  const auto arguments = base::parse_json(joined(cleaned, {"delta"}));
  ASSERT_TRUE(arguments) << cleaned;
  EXPECT_EQ(arguments->at("a"), "\newline\"secret [REDACTED]");
}

TEST_F(StreamSecrets, WhatHasNoPartOfASecretStaysAsItIs) {
  const std::string before =
      "event: e\r\ndata:  {\"type\" : \"x\", \"n\": 1.50}\r\n\r\n: comment\ndata: [DONE]\ndata: no json\n\n";
  EXPECT_EQ(clean(before), before);
  std::string stream = before;
  for (const auto part : parts)
    stream += "data: " + base::to_text(json::object{{"delta", part}}) + "\r\n\r\n";
  const std::string behind = "data: {\"delta\":\"cut in the mid";
  const auto cleaned = clean(stream + behind);
  EXPECT_EQ(cleaned, before +
                         "data: {\"delta\":\"it is [REDACTED]\"}\r\n\r\ndata: {\"delta\":\"\"}\r\n\r\n"
                         "data: {\"delta\":\" and more\"}\r\n\r\n" +
                         behind);
  const auto whole = frame({{"delta", secret}}) + frame({{"delta", "x"}});
  EXPECT_EQ(clean(whole), whole) << "whoever cleans the event takes it out";
  EXPECT_EQ(without_split_secrets(stream, base::no_secrets), stream);
}

TEST_F(StreamSecrets, LongStreamsTakeTheirTimeOnce) {
  std::string stream;
  for (int i = 0; i < 20'000; ++i)
    stream +=
        frame({{"type", "d"}, {"delta", i % 4 == 3 ? parts[2] : parts[static_cast<std::size_t>(i % 4)]}});
  EXPECT_EQ(joined(clean(stream), {"delta"}).find("actme"), std::string::npos);
}

}  // namespace
}  // namespace agentrouter::egress
