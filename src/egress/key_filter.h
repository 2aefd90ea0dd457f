#pragma once
// Searches a stream for the key, so that a provider (or whoever answers for it) cannot hand it to an agent. A
// piece that ends with the beginning of the key is held back until the next one tells.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "egress/secret.h"

namespace agentrouter::egress {

class KeyFilter {
 public:
  // A key below this length is no secret worth searching for, but a placeholder: nothing is searched.
  static constexpr std::size_t least_bytes = 8;

  // `key` outlives the filter.
  explicit KeyFilter(std::string_view key);

  enum class Verdict { clean, found };
  // Appends to `out` what may pass. After `found` nothing more may.
  [[nodiscard]] Verdict feed(std::string_view bytes, std::string& out);
  // The stream has ended: what was held back may pass.
  void finish(std::string& out);

  [[nodiscard]] bool occurs_in(std::string_view text) const;

 private:
  std::string_view key_;
  std::vector<std::uint16_t>
      borders_;              // of each prefix of the key: its longest proper prefix that is a suffix
  std::size_t matched_ = 0;  // bytes held back; they equal the key's first ones
};

// The forms in which one secret is searched for: those of base/secret_forms.h. Of "Bearer WORD" it is the word.
class KeyForms {
 public:
  // Throws Failure(unavailable) as SecretBuffer.
  explicit KeyForms(std::string_view key);

  // None of a placeholder. They live as long as this.
  [[nodiscard]] std::vector<KeyFilter> filters() const;

 private:
  void add(std::string_view form);

  SecretBuffer text_;
  std::vector<std::string_view> forms_;
};

// Several secrets in one stream.
class KeyFilters {
 public:
  KeyFilters() = default;
  explicit KeyFilters(std::vector<KeyFilter> filters) : filters_(std::move(filters)) {}
  void add(KeyFilter filter) { filters_.push_back(std::move(filter)); }

  [[nodiscard]] KeyFilter::Verdict feed(std::string_view bytes, std::string& out);
  // Found: one of them was in what had been held back for another.
  [[nodiscard]] KeyFilter::Verdict finish(std::string& out);
  [[nodiscard]] bool occurs_in(std::string_view text) const;

 private:
  std::vector<KeyFilter> filters_;  // each sees what the one before let pass
};

}  // namespace agentrouter::egress
