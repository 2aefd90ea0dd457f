#pragma once
// Boost.JSON's parser with numbers read exactly. Its own (1.81) is off by one in the last digit of some
// doubles, so that a digest over a canonical form would differ from what others compute for the same
// document.

#include <boost/json/value_stack.hpp>
#include <string>
#include <string_view>

#include "base/json.h"

namespace agentrouter::base {

// The handler of a json::basic_parser: one value, every number the double that is nearest to its text (beyond
// double: infinite, or 0).
struct JsonReader {
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  using Error = json::error_code;
  using Text = json::string_view;

  JsonReader() { stack.reset(); }

  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }
  bool on_object_begin(Error&) { return true; }
  bool on_object_end(std::size_t members, Error&) { return stack.push_object(members), true; }
  bool on_array_begin(Error&) { return true; }
  bool on_array_end(std::size_t items, Error&) { return stack.push_array(items), true; }
  bool on_key_part(Text part, std::size_t, Error&) { return stack.push_chars(part), true; }
  bool on_key(Text rest, std::size_t, Error&) { return stack.push_key(rest), true; }
  bool on_string_part(Text part, std::size_t, Error&) { return stack.push_chars(part), true; }
  bool on_string(Text rest, std::size_t, Error&) { return stack.push_string(rest), true; }
  bool on_number_part(Text part, Error&);
  bool on_int64(std::int64_t number, Text, Error&);
  bool on_uint64(std::uint64_t number, Text, Error&);
  bool on_double(double near, Text rest, Error&);
  bool on_bool(bool value, Error&) { return stack.push_bool(value), true; }
  bool on_null(Error&) { return stack.push_null(), true; }
  bool on_comment_part(Text, Error&) { return true; }
  bool on_comment(Text, Error&) { return true; }

  json::value_stack stack;
  std::string number;  // the parts of one so far
};

// The double nearest to a number of JSON's grammar; infinite beyond the largest one, 0 below the smallest.
[[nodiscard]] double nearest_double(std::string_view number);

}  // namespace agentrouter::base
