#include "net/client_hello.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>

#include "net/hello_test.h"

namespace agentrouter::net {
namespace {

using namespace hello;
using namespace std::string_literals;
using testing::ElementsAre;
using testing::IsEmpty;

HelloState state_of(const std::string& bytes) {
  return read_client_hello(bytes).state;
}

// What OpenSSL's own client says first.
std::string real_hello(const std::string& name, const std::string& protocols) {
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
  SSL_set_tlsext_host_name(ssl.get(), name.c_str());
  SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                      static_cast<unsigned>(protocols.size()));
  SSL_connect(ssl.get());
  char* bytes = nullptr;
  const auto size = BIO_get_mem_data(out, &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

TEST(ClientHello, OfARealClientSaysNameAndProtocols) {
  const auto bytes = real_hello("Pypi.org", "\x02h2\x08http/1.1");
  const auto read = read_client_hello(bytes);
  ASSERT_EQ(read.state, HelloState::hello);
  EXPECT_EQ(read.hello.server_name, "pypi.org");
  EXPECT_THAT(read.hello.protocols, ElementsAre("h2", "http/1.1"));
  EXPECT_FALSE(read.hello.encrypted);
}

TEST(ClientHello, NeedsMoreUntilTheLastByte) {
  const auto bytes = real_hello("pypi.org", "\x08http/1.1");
  for (std::size_t size = 0; size < bytes.size(); ++size)
    ASSERT_EQ(state_of(bytes.substr(0, size)), HelloState::need_more) << size;
  EXPECT_EQ(state_of(bytes + "what follows"), HelloState::hello);
}

TEST(ClientHello, IsJoinedOutOfManyRecords) {
  const auto whole = message(server_name("example.org"));
  std::string bytes;
  for (const char c : whole) bytes += record({c});
  for (std::size_t size = 0; size < bytes.size(); ++size)
    ASSERT_EQ(state_of(bytes.substr(0, size)), HelloState::need_more) << size;
  EXPECT_EQ(read_client_hello(bytes).hello.server_name, "example.org");
}

TEST(ClientHello, WithoutANameOrWithoutExtensionsHasNone) {
  EXPECT_THAT(read_client_hello(record(message(extension(10, "\0\x02\0\x1d"s)))).hello.server_name, IsEmpty());
  const auto bare = "\x03\x03"s + std::string(32, 'r') + with_length(1, "") + with_length(2, "\x13\x01") +
                    with_length(1, "\0"s);
  EXPECT_EQ(state_of(record("\x01"s + with_length(3, bare))), HelloState::hello);
}

TEST(ClientHello, EncryptedOneIsSeen) {
  const auto read = read_client_hello(record(message(server_name("front.example") + extension(0xfe0d, "xyz"))));
  EXPECT_TRUE(read.hello.encrypted);
  EXPECT_EQ(read.hello.server_name, "front.example");
}

TEST(ClientHello, OtherProtocolsAreNotTls) {
  for (const auto& bytes : {"GET / HTTP/1.1\r\n"s, "SSH-2.0-x"s, "\x16\x02\x00"s, "\x17\x03\x03\x00\x01"s,
                            "\x16\x03\x01\x00\x00"s, "\x16\x03\x01\x40\x01"s, "\x80\x2e\x01\x03\x01"s})
    EXPECT_EQ(state_of(bytes), HelloState::not_tls) << bytes;
}

TEST(ClientHello, WhatCanBeReadInTwoWaysIsBroken) {
  const auto name = server_name("a.example");
  const auto two_names =
      extension(0, with_length(2, "\0"s + with_length(2, "a.example") + "\0"s + with_length(2, "b.example")));
  for (const auto& bytes :
       {record(message(name + name)), record(message(two_names)), record(message(name) + "more"),
        record(message(name)).replace(5, 1, "\x02"), record(message(server_name(""))),
        record(message(server_name("a\0b"s))), record(message(server_name(std::string(254, 'a')))),
        record(message(extension(0, "\x01"s + with_length(2, "a.example")))),
        record(message(extension(16, with_length(2, with_length(1, ""))))), record(message(name + "\0"s)),
        record(message(name).substr(0, 10)) + "\x17\x03\x03\x00\x01"s,
        record("\x01\x00\x00\x05hello"s), record("\x01\x00\x40\x00"s), record("\x02"s)})
    EXPECT_EQ(state_of(bytes), HelloState::broken) << testing::PrintToString(bytes);
}

TEST(ClientHello, ThatSaysTheLastRecordIsLongerIsBroken) {
  auto bytes = record(message(server_name("a.example")));
  bytes[4] = static_cast<char>(bytes[4] + 1);
  EXPECT_EQ(state_of(bytes), HelloState::broken);
}

}  // namespace
}  // namespace agentrouter::net
