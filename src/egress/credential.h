#pragma once
// What is made of an upstream's secrets once: the lines that go into every head, and the search patterns.
// Internal to egress.

#include <string>
#include <string_view>
#include <vector>

#include "egress/key_filter.h"
#include "egress/secret.h"

namespace agentrouter::egress {

class Credential {
 public:
  enum class Scheme { bearer, api_key };
  // `key` outlives it. Throws Failure(unavailable) as SecretBuffer.
  Credential(Scheme scheme, const Secret& key);
  // Fields as they are; searched for is the last word of each ("Bearer <this>"), of "Basic <this>" also the
  // password, and `plain`, what of the field is secret, where that is known. The values outlive it.
  struct Field {
    std::string_view name;
    const Secret* value = nullptr;
    const Secret* plain = nullptr;
  };
  explicit Credential(const std::vector<Field>& fields);

  // "authorization: Bearer ...\r\n\r\n": the end of a request head.
  [[nodiscard]] std::string_view head_end() const { return lines_.view(); }
  [[nodiscard]] const KeyFilters& filters() const { return filters_; }

 private:
  void search_for(std::string_view key);
  void search_for_password(std::string_view value);

  SecretBuffer lines_;
  std::vector<SecretBuffer> passwords_;
  std::vector<KeyForms> forms_;
  KeyFilters filters_;
};

}  // namespace agentrouter::egress
