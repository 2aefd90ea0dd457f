#pragma once
// Finds secrets without holding them: of each form of each secret there is a keyed digest, and 16 bits of a
// keyed rolling hash of its first bytes, with a salt of their own per set. Who holds a set can tell whether a
// text has one of the secrets in it, and could try guesses; a secret that cannot be guessed stays unknown.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/id.h"

namespace agentrouter::base {

class Needles {
 public:
  // A secret below this length is none: every text would be torn apart.
  static constexpr std::size_t least_bytes = 8;

  // Finds nothing.
  Needles() = default;
  // All forms (secret_forms.h) of each secret. The secrets need not live on.
  Needles(std::span<const std::string_view> secrets, Entropy& entropy);

  // Hex digits, to be handed to another process.
  [[nodiscard]] std::string to_text() const;
  // Errors: invalid.
  [[nodiscard]] static Result<Needles> parse(std::string_view text);

  struct Found {
    std::size_t begin = 0;
    std::size_t size = 0;
  };
  enum class Text { plain, json };
  // The first one that begins at `from` or behind it, and of those that begin there the longest. In JSON
  // nothing that JSON would have written in another way is one.
  [[nodiscard]] std::optional<Found> find(std::string_view text, std::size_t from = 0,
                                          Text kind = Text::plain) const;

  [[nodiscard]] bool empty() const { return needles_.empty(); }
  // Of the forms; 0 when there is none.
  [[nodiscard]] std::size_t longest() const { return longest_; }

 private:
  static constexpr std::size_t digest_bytes = 16;
  using Salt = std::array<std::uint8_t, 32>;
  struct Needle {
    std::uint32_t size = 0;
    std::uint16_t hash = 0;
    bool in_json = true;
    std::array<std::uint8_t, digest_bytes> digest = {};
  };

  void prepare();
  void add(std::string_view form, bool in_json);
  [[nodiscard]] std::uint64_t hash_of(const char* begin) const;
  [[nodiscard]] std::array<std::uint8_t, digest_bytes> digest_of(std::string_view form) const;
  [[nodiscard]] std::size_t match(std::string_view text, std::uint16_t hash, Text kind) const;

  Salt salt_ = {};
  std::size_t window_ = 0;  // bytes that the rolling hash looks at
  std::size_t longest_ = 0;
  std::vector<Needle> needles_;            // by hash
  std::array<std::uint64_t, 256> mix_ = {};  // of the rolling hash, from the salt
  std::vector<std::uint64_t> seen_;        // one bit per hash that there is
};

}  // namespace agentrouter::base
