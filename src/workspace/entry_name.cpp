#include "workspace/entry_name.h"

namespace agentrouter::workspace {
namespace {

constexpr std::string_view deletion = ".wh.";
constexpr std::string_view escaped_present = ".wh..wh.n.";
constexpr std::string_view escaped_deletion = ".wh..wh.d.";

bool is_part(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

}  // namespace

std::string encode_name(std::string_view name) {
  return std::string(name.starts_with(deletion) ? escaped_present : "").append(name);
}

std::string encode_deletion(std::string_view name) {
  return std::string(name.starts_with(deletion) ? escaped_deletion : deletion).append(name);
}

std::optional<DecodedName> decode_name(std::string_view text) {
  using Kind = DecodedName::Kind;
  if (text == opaque_name) return DecodedName{Kind::opaque, {}};
  DecodedName decoded{Kind::present, std::string(text)};
  if (text.starts_with(escaped_present) || text.starts_with(escaped_deletion)) {
    decoded.kind = text.starts_with(escaped_present) ? Kind::present : Kind::deleted;
    decoded.name = text.substr(escaped_present.size());
    if (!decoded.name.starts_with(deletion)) return std::nullopt;
  } else if (text.starts_with(deletion)) {
    decoded = {Kind::deleted, std::string(text.substr(deletion.size()))};
    if (decoded.name.starts_with(deletion)) return std::nullopt;
  }
  if (!is_part(decoded.name)) return std::nullopt;
  return decoded;
}

}  // namespace agentrouter::workspace
