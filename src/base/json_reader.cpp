#include "base/json_reader.h"

#include <charconv>
#include <cstdlib>

namespace agentrouter::base {

double nearest_double(std::string_view number) {
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  // It does not say on which side of what a double can hold.
  if (error == std::errc::result_out_of_range) return std::strtod(std::string(number).c_str(), nullptr);
  return value;
}

bool JsonReader::on_number_part(Text part, Error&) {
  number.append(part.data(), part.size());
  return true;
}

bool JsonReader::on_int64(std::int64_t value, Text, Error&) {
  number.clear();
  stack.push_int64(value);
  return true;
}

bool JsonReader::on_uint64(std::uint64_t value, Text, Error&) {
  number.clear();
  stack.push_uint64(value);
  return true;
}

bool JsonReader::on_double(double, Text rest, Error&) {
  number.append(rest.data(), rest.size());
  stack.push_double(nearest_double(number));
  number.clear();
  return true;
}

}  // namespace agentrouter::base
