#include "net/dns_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::net {
namespace {

using namespace std::string_literals;
using testing::EndsWith;
using testing::StartsWith;

constexpr std::uint16_t https_type = 65;

std::string question(std::string_view name, std::uint16_t type, std::uint16_t kind = 1) {
  std::string out;
  while (!name.empty()) {
    const auto dot = std::min(name.find('.'), name.size());
    out += static_cast<char>(dot);
    out += name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  out += '\0';
  for (const auto number : {type, kind}) {
    out += static_cast<char>(number >> 8);
    out += static_cast<char>(number & 0xff);
  }
  return out;
}

const std::string head = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"s;
const std::string head_with_edns = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"s;
const std::string edns = "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"s;

DnsCode problem_of(const std::string& message) {
  const auto query = parse_dns_query(message);
  if (query) return DnsCode::none;
  EXPECT_EQ(0x1234, query.error().id);
  return query.error().code;
}

TEST(DnsMessage, QuestionIsReadInLowerCase) {
  const auto query = parse_dns_query(head + question("Registry.NPMjs.org", dns_type::a));
  ASSERT_TRUE(query);
  EXPECT_EQ(query->id, 0x1234);
  EXPECT_EQ(query->name, "registry.npmjs.org");
  EXPECT_EQ(query->type, dns_type::a);
  EXPECT_TRUE(query->is_host && query->recursion_desired && !query->extended);
}

TEST(DnsMessage, AnswerRepeatsTheQuestionAsItWasAsked) {
  const auto asked = question("Example.ORG", dns_type::a);
  const auto query = parse_dns_query(head + asked).value();
  const auto answer =
      dns_answer(query, {.address = boost::asio::ip::make_address_v4("198.18.0.7"), .seconds = 0x010203});
  EXPECT_EQ(answer, "\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00"s + asked +
                        "\xc0\x0c\x00\x01\x00\x01\x00\x01\x02\x03\x00\x04\xc6\x12\x00\x07"s);
}

TEST(DnsMessage, NothingOfATypeAndNoSuchNameAreTwoAnswers) {
  const auto asked = question("example.org", https_type);
  const auto query = parse_dns_query(head + asked).value();
  EXPECT_EQ(dns_answer(query, {}), "\x12\x34\x85\x80\x00\x01\x00\x00\x00\x00\x00\x00"s + asked);
  EXPECT_THAT(dns_answer(query, {.code = DnsCode::no_such_name}), StartsWith("\x12\x34\x85\x83"));
}

TEST(DnsMessage, ExtensionIsAnsweredWithOne) {
  const auto query = parse_dns_query(head_with_edns + question("a.b", dns_type::aaaa) + edns).value();
  EXPECT_TRUE(query.extended);
  EXPECT_THAT(dns_answer(query, {}), EndsWith("\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"s));
}

TEST(DnsMessage, LabelsThatNoHostHasAreNoHost) {
  std::string odd = "\x08"
                    "evil.com\x00"s;
  const auto query = parse_dns_query(head + odd + "\x00\x01\x00\x01"s);
  ASSERT_TRUE(query);
  EXPECT_FALSE(query->is_host);
  EXPECT_FALSE(parse_dns_query(head + "\x02\xc3\xa4\x00\x00\x01\x00\x01"s)->is_host);
  EXPECT_EQ(parse_dns_query(head + "\x00\x00\x01\x00\x01"s)->name, "");
}

TEST(DnsMessage, WhatIsNotOneQuestionIsAFormatError) {
  const auto asked = question("example.org", dns_type::a);
  const auto with_counts = [&](const std::string& counts) { return "\x12\x34\x01\x00"s + counts + asked; };
  for (const auto& message :
       {head, head + asked.substr(0, asked.size() - 1), head + "\xc0\x0c\x00\x01\x00\x01"s,
        head + "\x40"s + std::string(64, 'a') + "\x00\x00\x01\x00\x01"s, head + "\x05"s + "abc", head + asked + "x",
        with_counts("\x00\x00\x00\x00\x00\x00\x00\x00"s), with_counts("\x00\x02\x00\x00\x00\x00\x00\x00"s),
        with_counts("\x00\x01\x00\x01\x00\x00\x00\x00"s), with_counts("\x00\x01\x00\x00\x00\x01\x00\x00"s),
        with_counts("\x00\x01\x00\x00\x00\x00\x00\x02"s), head_with_edns + asked, head_with_edns + asked + edns + "x",
        head_with_edns + asked + asked})
    EXPECT_EQ(problem_of(message), DnsCode::format_error) << testing::PrintToString(message);
}

TEST(DnsMessage, NameIsAtMost255Bytes) {
  std::string name;
  for (int i = 0; i < 4; ++i) name += std::string(62, 'a') + ".";
  EXPECT_TRUE(parse_dns_query(head + question(name + "b", dns_type::a)));
  EXPECT_EQ(problem_of(head + question(name + "bbb", dns_type::a)), DnsCode::format_error);
}

TEST(DnsMessage, OtherOperationsAndClassesAreNotImplemented) {
  EXPECT_EQ(problem_of("\x12\x34\x28\x00\x00\x01\x00\x00\x00\x00\x00\x00"s + question("a.b", dns_type::a)),
            DnsCode::not_implemented);
  EXPECT_EQ(problem_of(head + question("version.bind", 16, 3)), DnsCode::not_implemented);
}

TEST(DnsMessage, AnswersAndScrapsAreNotAnswered) {
  for (const auto& message : {""s, head.substr(0, 11), "\x12\x34\x81\x00"s + head.substr(4)})
    EXPECT_FALSE(parse_dns_query(message).error().id);
}

TEST(DnsMessage, RefusalIsAHeadAlone) {
  EXPECT_EQ(dns_refusal(0x1234, DnsCode::format_error), "\x12\x34\x80\x81\x00\x00\x00\x00\x00\x00\x00\x00"s);
}

TEST(DnsMessage, FramesOfTcpAreTakenWhenTheyAreWhole) {
  const auto framed = dns_framed("abc");
  EXPECT_EQ(framed, "\x00\x03\x61\x62\x63"s);
  EXPECT_EQ(dns_unframed(framed + "more"), "abc");
  EXPECT_FALSE(dns_unframed(framed.substr(0, 4)));
  EXPECT_FALSE(dns_unframed("\x00"s));
  EXPECT_EQ(dns_unframed("\x00\x00"s), "");
}

}  // namespace
}  // namespace agentrouter::net
