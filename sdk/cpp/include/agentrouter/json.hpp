#pragma once
// A JSON value that cannot change: copies share it, and any thread may read it. It serves the open parts of
// the protocol (an event's payload, a run's metadata), where reading should be forgiving: a missing key and
// a value of another type read as null or as the fallback that the caller names, never as an exception.

#include <agentrouter/export.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agentrouter {

class AGENTROUTER_API Json {
 public:
  enum class Kind { null, boolean, integer, number, string, array, object };
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in the order of the text

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(std::same_as<bool> auto value) : Json(Flag{value}) {}
  Json(std::integral auto value)
    requires(!std::same_as<decltype(value), bool>)
      : Json(Whole{static_cast<std::int64_t>(value)}) {}
  Json(double value);
  Json(const char* value);
  Json(std::string_view value);
  Json(std::string value);
  [[nodiscard]] static Json array(Array values = {});
  [[nodiscard]] static Json object(Object members = {});

  // One strict JSON value with nothing after it, nested at most 128 deep. Of a repeated key the last wins.
  // Throws Error `invalid_json`.
  [[nodiscard]] static Json parse(std::string_view text);
  // Compact, members in their order. DEL and C1 control characters are escaped too, so that the text is safe
  // to print on a terminal.
  [[nodiscard]] std::string dump() const;

  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is_null() const { return kind() == Kind::null; }
  [[nodiscard]] bool is_string() const { return kind() == Kind::string; }
  [[nodiscard]] bool is_array() const { return kind() == Kind::array; }
  [[nodiscard]] bool is_object() const { return kind() == Kind::object; }

  // Views and references live as long as a copy of this value does.
  [[nodiscard]] bool as_bool(bool fallback = false) const;
  [[nodiscard]] std::int64_t as_int(
      std::int64_t fallback = 0) const;  // of a number with a fraction: fallback
  [[nodiscard]] double as_double(double fallback = 0) const;
  [[nodiscard]] std::string_view as_string(std::string_view fallback = {}) const;
  [[nodiscard]] const Array& as_array() const;    // empty when it is none
  [[nodiscard]] const Object& as_object() const;  // empty when it is none

  // The member of that name, or null. Chains: event.payload["action"]["name"].as_string().
  [[nodiscard]] const Json& operator[](std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const;

 private:
  struct AGENTROUTER_LOCAL Node;
  struct Flag {
    bool value;
  };
  struct Whole {
    std::int64_t value;
  };
  explicit Json(Flag flag);
  explicit Json(Whole whole);
  explicit Json(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

  std::shared_ptr<const Node> node_;
};

}  // namespace agentrouter
