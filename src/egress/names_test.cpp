#include "egress/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/event.h"
#include "net/dns_message.h"

namespace agentrouter::egress {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;
using testing::StartsWith;

asio::ip::address_v4 network() {
  return asio::ip::make_address_v4("198.18.0.0");
}

TEST(NameTable, GivesEachNameAnAddressOfItsOwn) {
  NameTable table(network(), 300);
  EXPECT_EQ(table.address_of("a.test")->to_string(), "198.18.0.1");
  EXPECT_EQ(table.address_of("b.test")->to_string(), "198.18.0.2");
  EXPECT_EQ(table.address_of("a.test")->to_string(), "198.18.0.1");
  for (int i = 2; i < 300; ++i) EXPECT_TRUE(table.address_of(std::to_string(i)));
  EXPECT_EQ(*table.name_of(asio::ip::make_address("198.18.1.44")), "299");
  EXPECT_FALSE(table.address_of("one more"));
  EXPECT_TRUE(table.address_of("b.test"));
}

TEST(NameTable, OtherAddressesStandForNothing) {
  NameTable table(network(), 2);
  std::ignore = table.address_of("a.test");
  for (const auto* address : {"198.18.0.0", "198.18.0.2", "198.17.255.255", "198.20.0.0", "0.0.0.0", "255.255.255.255", "::1"})
    EXPECT_EQ(table.name_of(asio::ip::make_address(address)), nullptr) << address;
}

TEST(HostNames, AreNoNumbersAndHaveNoEmptyLabels) {
  for (const auto* name : {"a", "registry.npmjs.org", "x-1.y_2.io", "1.2.3.4.example"})
    EXPECT_TRUE(is_host_name(name)) << name;
  for (const auto* name : {"", ".", "a.", ".a", "a..b", "2130706433", "127.1", "0x7f.0x1", "10.0.0.1", "a.b.0"})
    EXPECT_FALSE(is_host_name(name)) << name;
  EXPECT_FALSE(is_host_name(std::string(254, 'a')));
}

class Answers : public testing::Test {
 protected:
  static std::string question(const std::string& name, char type) {
    std::string out("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
    for (std::string_view rest = name; !rest.empty();) {
      const auto label = rest.substr(0, rest.find('.'));
      out += static_cast<char>(label.size());
      out += label;
      rest.remove_prefix(std::min(rest.size(), label.size() + 1));
    }
    return out + '\0' + '\0' + type + "\x00\x01"s;
  }
  // Code, and the last four bytes where there is an answer.
  std::string ask(const std::string& name, char type) {
    const auto answer = server.answer(question(name, type)).value();
    const auto code = std::to_string(answer[3] & 15);
    if (answer[7] == 0) return code;
    asio::ip::address_v4::bytes_type bytes;
    std::copy(answer.end() - 4, answer.end(), bytes.begin());
    return code + " " + asio::ip::address_v4(bytes).to_string();
  }

  static constexpr char a = 1;
  static constexpr char aaaa = 28;
  static constexpr char https = 65;
  static constexpr char any = static_cast<char>(255);

  asio::io_context io{1};
  NameTable table{network(), 2};
  std::vector<std::string> denied;
  NameServer server{io.get_executor(), table,
                    {.knows = [](const std::string& name) { return name.ends_with(".test"); },
                     .denied = [this](const std::string& name,
                                      std::string_view reason) { denied.push_back(name + " " + std::string(reason)); }},
                    std::chrono::milliseconds(100)};
};

TEST_F(Answers, KnownNamesHaveAnAddressAndNothingElse) {
  EXPECT_EQ(ask("a.test", a), "0 198.18.0.1");
  EXPECT_EQ(ask("A.Test", any), "0 198.18.0.1");
  EXPECT_EQ(ask("a.test", aaaa), "0");
  EXPECT_EQ(ask("a.test", https), "0");
  EXPECT_TRUE(denied.empty());
}

TEST_F(Answers, OtherNamesDoNotExistAndAreToldOnceForAllTypes) {
  for (const char type : {a, aaaa, https}) EXPECT_EQ(ask("evil.example", type), "3");
  EXPECT_EQ(ask("2130706433", a), "3");
  EXPECT_EQ(ask("evil.example", a), "3");
  EXPECT_THAT(denied, ElementsAre("evil.example name_denied", "2130706433 name_denied", "evil.example name_denied"));
}

TEST_F(Answers, OneNameTooManyDoesNotExist) {
  EXPECT_EQ(ask("a.test", a), "0 198.18.0.1");
  EXPECT_EQ(ask("b.test", a), "0 198.18.0.2");
  EXPECT_EQ(ask("c.test", a), "3");
  EXPECT_THAT(denied, ElementsAre("c.test too_many_names"));
}

TEST_F(Answers, ThisMachineIsTheSandboxAndAddressesHaveNoNames) {
  EXPECT_EQ(ask("localhost", a), "0 127.0.0.1");
  EXPECT_EQ(ask("my.localhost", aaaa), "0");
  EXPECT_EQ(ask("1.0.18.198.in-addr.arpa", 12), "3");
  EXPECT_TRUE(denied.empty());
}

TEST_F(Answers, BrokenQuestionsAreRefusedAndScrapsAreNot) {
  EXPECT_THAT(server.answer(question("a.test", a) + "x").value(), StartsWith("\x12\x34\x80\x81"));
  EXPECT_FALSE(server.answer("scrap"));
}

}  // namespace
}  // namespace agentrouter::egress
