#include "agents/line_splitter.h"

#include <gtest/gtest.h>

#include <vector>

#include "agents/payload.h"
#include "base/utf8.h"

namespace agentrouter::agents {
namespace {

std::vector<std::string> lines_of(LineSplitter& splitter, std::string_view bytes, std::size_t piece) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < bytes.size(); i += piece) {
    splitter.push(bytes.substr(i, piece));
    while (const auto line = splitter.next()) lines.emplace_back(*line);
  }
  return lines;
}

TEST(LineSplitter, GivesTheSameLinesHoweverTheBytesArrive) {
  for (std::size_t piece = 1; piece < 12; ++piece) {
    LineSplitter splitter(10);
    EXPECT_EQ(lines_of(splitter, "one\n\ntwo two\n1234567890\nrest", piece),
              (std::vector<std::string>{"one", "", "two two", "1234567890"}))
        << piece;
    EXPECT_FALSE(splitter.overflowed());
  }
}

TEST(LineSplitter, LineOverTheLimitIsNeverGivenAndStopsAllThatFollows) {
  for (std::size_t piece = 1; piece < 14; ++piece) {
    LineSplitter splitter(10);
    EXPECT_EQ(lines_of(splitter, "ok\n12345678901\nmore\n", piece), (std::vector<std::string>{"ok"}))
        << piece;
    EXPECT_TRUE(splitter.overflowed());
  }
}

TEST(Payload, FieldsAreCutAtACharacterAndMarked) {
  json::object payload;
  std::string text(8191, 'a');
  payload["long"] = text + "\xc3\xa4";
  payload["fits"] = text + "a";
  cap_fields(payload, base::no_secrets);
  EXPECT_EQ(payload.at("long").as_string().size(), 8191u);
  EXPECT_EQ(payload.at("longTruncated"), true);
  EXPECT_FALSE(payload.contains("fitsTruncated"));
}

TEST(Payload, TitlesAreOneShortLine) {
  EXPECT_EQ(one_line("a\nb\tc", base::no_secrets), "a b c");
  EXPECT_EQ(one_line(std::string(300, 'x'), base::no_secrets).size(), 203u);
}

TEST(Payload, NoCutGoesThroughASecret) {
  constexpr std::string_view secret = "sk-redact/me+0123456789abcdef";
  const base::Redactor hidden(std::vector<std::string_view>{secret}, base::system_entropy());
  for (const std::size_t seen : {std::size_t{1}, std::size_t{8}, secret.size() - 1}) {
    const std::string line = std::string(200 - seen, 'x') + std::string(secret) + " and more";
    EXPECT_EQ(one_line(line, hidden), std::string(200 - seen, 'x') + "...");
    const std::string before(model::defaults::event_field_bytes - seen, 'x');
    json::object payload{{"text", before + std::string(secret) + std::string(1u << 20, 'y')}};
    cap_fields(payload, hidden);
    EXPECT_EQ(base::get_string(payload, "text"), before);
    const std::string start = R"({"command":")";
    const std::string command(model::defaults::event_field_bytes - start.size() - seen, 'x');
    const auto args =
        bounded_args({{"command", command + std::string(secret) + std::string(1u << 20, 'y')}}, hidden);
    EXPECT_EQ(base::get_string(args, "preview"), start + command);
  }
}

}  // namespace
}  // namespace agentrouter::agents
