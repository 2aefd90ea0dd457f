#include <agentrouter/error.hpp>
#include <agentrouter/json.hpp>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>
#include <limits>
#include <variant>

namespace agentrouter {

struct Json::Node {
  std::variant<bool, std::int64_t, double, std::string, Array, Object> value;
};

namespace {

constexpr std::size_t max_depth = 128;

Json from_boost(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return {};
    case boost::json::kind::bool_:
      return value.get_bool();
    case boost::json::kind::int64:
      return value.get_int64();
    case boost::json::kind::uint64:
      return static_cast<double>(value.get_uint64());
    case boost::json::kind::double_:
      return value.get_double();
    case boost::json::kind::string:
      return std::string(value.get_string());
    case boost::json::kind::array: {
      Json::Array array;
      array.reserve(value.get_array().size());
      for (const auto& item : value.get_array()) array.push_back(from_boost(item));
      return Json::array(std::move(array));
    }
    case boost::json::kind::object: {
      Json::Object object;
      object.reserve(value.get_object().size());
      for (const auto& [key, item] : value.get_object()) object.emplace_back(key, from_boost(item));
      return Json::object(std::move(object));
    }
  }
  return {};
}

void dump_escape(std::string& out, unsigned unit) {
  constexpr std::string_view digits = "0123456789abcdef";
  out += "\\u00";
  out += digits[unit >> 4];
  out += digits[unit & 15];
}

void dump_string(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0u;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[i];
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\r') {
      out += "\\r";
    } else if (byte == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      dump_escape(out, byte);
    } else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // a C1 control character in UTF-8
      dump_escape(out, next);
      ++i;
    } else {
      out += text[i];
    }
  }
  out += '"';
}

template <class Number>
void dump_number(std::string& out, Number number) {
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) {
      out += "null";
      return;
    }
  }
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  out.append(buffer, end);
}

void dump_value(std::string& out, const Json& json);

void dump_array(std::string& out, const Json::Array& array) {
  out += '[';
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (i) out += ',';
    dump_value(out, array[i]);
  }
  out += ']';
}

void dump_object(std::string& out, const Json::Object& object) {
  out += '{';
  for (std::size_t i = 0; i < object.size(); ++i) {
    if (i) out += ',';
    dump_string(out, object[i].first);
    out += ':';
    dump_value(out, object[i].second);
  }
  out += '}';
}

void dump_value(std::string& out, const Json& json) {
  switch (json.kind()) {
    case Json::Kind::null:
      out += "null";
      break;
    case Json::Kind::boolean:
      out += json.as_bool() ? "true" : "false";
      break;
    case Json::Kind::integer:
      dump_number(out, json.as_int());
      break;
    case Json::Kind::number:
      dump_number(out, json.as_double());
      break;
    case Json::Kind::string:
      dump_string(out, json.as_string());
      break;
    case Json::Kind::array:
      dump_array(out, json.as_array());
      break;
    case Json::Kind::object:
      dump_object(out, json.as_object());
      break;
  }
}

}  // namespace

Json::Json(Flag flag) : node_(std::make_shared<const Node>(Node{flag.value})) {}
Json::Json(Whole whole) : node_(std::make_shared<const Node>(Node{whole.value})) {}
Json::Json(double value) : node_(std::make_shared<const Node>(Node{value})) {}
Json::Json(std::string value) : node_(std::make_shared<const Node>(Node{std::move(value)})) {}
Json::Json(std::string_view value) : Json(std::string(value)) {}
Json::Json(const char* value) : Json(std::string(value)) {}

Json Json::array(Array values) {
  return Json(std::make_shared<const Node>(Node{std::move(values)}));
}
Json Json::object(Object members) {
  return Json(std::make_shared<const Node>(Node{std::move(members)}));
}

Json Json::parse(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = max_depth;
  boost::json::error_code error;
  const auto value = boost::json::parse({text.data(), text.size()}, error, {}, options);
  if (error) throw Error("invalid_json", "this is not one JSON value: " + error.message());
  return from_boost(value);
}

std::string Json::dump() const {
  std::string out;
  dump_value(out, *this);
  return out;
}

Json::Kind Json::kind() const {
  return node_ ? static_cast<Kind>(node_->value.index() + 1) : Kind::null;
}

bool Json::as_bool(bool fallback) const {
  const auto* flag = node_ ? std::get_if<bool>(&node_->value) : nullptr;
  return flag ? *flag : fallback;
}

std::int64_t Json::as_int(std::int64_t fallback) const {
  if (!node_) return fallback;
  if (const auto* whole = std::get_if<std::int64_t>(&node_->value)) return *whole;
  const auto* number = std::get_if<double>(&node_->value);
  constexpr double limit = 9007199254740992.0;  // 2^53: beyond it a double is not one whole number
  if (!number || std::trunc(*number) != *number || std::abs(*number) > limit) return fallback;
  return static_cast<std::int64_t>(*number);
}

double Json::as_double(double fallback) const {
  if (!node_) return fallback;
  if (const auto* whole = std::get_if<std::int64_t>(&node_->value)) return static_cast<double>(*whole);
  const auto* number = std::get_if<double>(&node_->value);
  return number ? *number : fallback;
}

std::string_view Json::as_string(std::string_view fallback) const {
  const auto* text = node_ ? std::get_if<std::string>(&node_->value) : nullptr;
  return text ? std::string_view(*text) : fallback;
}

const Json::Array& Json::as_array() const {
  static const Array none;
  const auto* array = node_ ? std::get_if<Array>(&node_->value) : nullptr;
  return array ? *array : none;
}

const Json::Object& Json::as_object() const {
  static const Object none;
  const auto* object = node_ ? std::get_if<Object>(&node_->value) : nullptr;
  return object ? *object : none;
}

const Json& Json::operator[](std::string_view key) const {
  static const Json null;
  for (const auto& [name, value] : as_object()) {
    if (name == key) return value;
  }
  return null;
}

bool Json::has(std::string_view key) const {
  for (const auto& [name, value] : as_object()) {
    if (name == key) return true;
  }
  return false;
}

}  // namespace agentrouter
