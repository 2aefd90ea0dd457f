#include "egress/credential.h"

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

// "Bearer <word>": the word, unless it is too short to be looked for.
std::string_view searched_for(std::string_view value) {
  const auto word = value.substr(value.rfind(' ') + 1);
  return word.size() < KeyFilter::least_bytes ? value : word;
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
    search_for(searched_for(field.value->view()));
  }
  lines_.append(line_end);
}

void Credential::search_for(std::string_view key) {
  forms_.emplace_back(key);
  for (auto& filter : forms_.back().filters()) filters_.add(std::move(filter));
}

}  // namespace agentrouter::egress
