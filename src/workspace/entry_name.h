#pragma once
// What a name in a checkpoint says. As in OCI layers, ".wh.NAME" is a deletion of NAME and ".wh..wh..opq"
// says that nothing of the base shows in its folder. Names that begin with ".wh." themselves are written
// behind a prefix that OCI reserves: ".wh..wh.n." for what is there, ".wh..wh.d." for a deletion.

#include <optional>
#include <string>
#include <string_view>

namespace agentrouter::workspace {

inline constexpr std::string_view opaque_name = ".wh..wh..opq";

[[nodiscard]] std::string encode_name(std::string_view name);
[[nodiscard]] std::string encode_deletion(std::string_view name);

struct DecodedName {
  enum class Kind { present, deleted, opaque };
  Kind kind = Kind::present;
  std::string name;  // empty of opaque
};
// None for what no encoder writes, and for a name that is not one part of a path.
[[nodiscard]] std::optional<DecodedName> decode_name(std::string_view text);

}  // namespace agentrouter::workspace
