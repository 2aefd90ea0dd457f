#pragma once
// Ids that cannot be mixed up: each noun has a type of its own, explicit both ways.

#include <compare>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace agentrouter::base {

template <class Tag>
class Id {
 public:
  Id() = default;
  explicit Id(std::string text) : text_(std::move(text)) {}
  [[nodiscard]] const std::string& str() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  auto operator<=>(const Id&) const = default;

 private:
  std::string text_;
};

// Where random bytes come from; a test passes its own.
class Entropy {
 public:
  virtual ~Entropy() = default;
  virtual void fill(std::span<std::uint8_t> bytes) = 0;
};

// The kernel's generator. Lives for the whole process; safe from any thread.
[[nodiscard]] Entropy& system_entropy();

// A version 4 UUID in lower case.
[[nodiscard]] std::string new_uuid(Entropy& entropy);

// A UUID-shaped name (version 8) that depends only on `text`: the same thing always gets the same id, so
// work that is repeated after a crash writes over itself instead of beside itself.
[[nodiscard]] std::string uuid_from_text(std::string_view text);

// `prefix` + 8-4-4-4-12 lower-case hex digits, nothing else.
[[nodiscard]] bool is_prefixed_uuid(std::string_view text, std::string_view prefix);

}  // namespace agentrouter::base

template <class Tag>
struct std::hash<agentrouter::base::Id<Tag>> {
  std::size_t operator()(const agentrouter::base::Id<Tag>& id) const noexcept {
    return std::hash<std::string>{}(id.str());
  }
};
