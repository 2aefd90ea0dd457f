#include "workspace/path_text.h"

#include <gtest/gtest.h>

namespace agentrouter::workspace {
namespace {

json::object put(std::string_view path) {
  json::object object;
  put_path(object, "path", path);
  return object;
}

TEST(PathText, TextStaysAsItIs) {
  EXPECT_EQ(R"({"path":"ä\\x41 b"})", base::to_text(put("ä\\x41 b")));
}

TEST(PathText, BytesThatAreNoTextAreEscapedAndSoIsTheBackslash) {
  EXPECT_EQ(R"({"path":"a\\xff\\x5cü","encoding":"escaped"})", base::to_text(put("a\xff\\ü")));
}

TEST(PathText, EscapingIsTakenBack) {
  const std::string path = "a\xff\\x41ü\n";
  EXPECT_EQ(path, unescape_path(escape_path(path)));
  for (const auto* plain : {"a\\", "\\x4", "\\x4g", "\\n41"}) EXPECT_EQ(plain, unescape_path(plain));
}

TEST(PathText, TheOrderIsThatOfAWalk) {
  EXPECT_TRUE(by_names("a", "a/b"));
  EXPECT_TRUE(by_names("a/b", "a.c"));
  EXPECT_FALSE(by_names("a.c", "a/b"));
  EXPECT_FALSE(by_names("a", "a"));
  EXPECT_TRUE(by_names("a", "\xff"));
}

}  // namespace
}  // namespace agentrouter::workspace
