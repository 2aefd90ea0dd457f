#include "egress/credential.h"

#include <algorithm>
#include <utility>

#include "net/http.h"

namespace agentrouter::egress {

namespace {

std::string_view field_of(Credential::Scheme scheme) {
  return scheme == Credential::Scheme::bearer ? "authorization: Bearer " : "x-api-key: ";
}
constexpr std::string_view line_end = "\r\n";

std::size_t size_of(const std::vector<Credential::Field>& fields) {
  std::size_t size = line_end.size();
  for (const auto& field : fields)
    size += field.name.size() + 2 + field.value->view().size() + line_end.size();
  return size;
}

int value_of_letter(char c) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto at = letters.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

// What stands behind the first colon of "user:password" in base64.
SecretBuffer password_of(std::string_view coded) {
  SecretBuffer out(std::max<std::size_t>(coded.size(), 1));
  unsigned bits = 0;
  int held = 0;
  bool behind_user = false;
  for (const char c : coded) {
    const int value = value_of_letter(c);
    if (value < 0) break;
    bits = (bits << 6 | static_cast<unsigned>(value)) & 0xffff;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    const char byte = static_cast<char>(bits >> held & 0xff);
    if (behind_user) out.append({&byte, 1});
    behind_user = behind_user || byte == ':';
  }
  return out;
}

}  // namespace

Credential::Credential(Scheme scheme, const Secret& key)
    : lines_(field_of(scheme).size() + key.view().size() + 2 * line_end.size()) {
  for (const auto part : {field_of(scheme), key.view(), line_end, line_end}) lines_.append(part);
  search_for(key.view());
}

Credential::Credential(const std::vector<Field>& fields) : lines_(size_of(fields)) {
  for (const auto& field : fields) {
    for (const auto part : {field.name, std::string_view(": "), field.value->view(), line_end}) lines_.append(part);
    search_for(field.value->view());
    if (field.plain != nullptr)
      search_for(field.plain->view());
    else
      search_for_password(field.value->view());
  }
  lines_.append(line_end);
}

void Credential::search_for_password(std::string_view value) {
  constexpr std::string_view basic = "basic ";
  if (!net::iequals(value.substr(0, basic.size()), basic)) return;
  auto password = password_of(value.substr(basic.size()));
  if (password.size() == 0) return;
  passwords_.push_back(std::move(password));
  search_for(passwords_.back().view());
}

void Credential::search_for(std::string_view key) {
  forms_.emplace_back(key);
  for (auto& filter : forms_.back().filters()) filters_.add(std::move(filter));
}

}  // namespace agentrouter::egress
