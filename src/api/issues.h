#pragma once
// What is wrong with a request, one object per finding, in the shape that clients of the published API know
// (code, path, message and a few facts): it becomes `details.issues` of a validation_error.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace agentrouter::api {

using Path = std::vector<std::string>;

class Issues {
 public:
  // "Invalid input: expected string, received undefined". A null `found` means that the key is missing.
  void wrong_type(const Path& path, std::string_view expected, const json::value* found);
  void too_short(const Path& path, std::int64_t minimum);
  void too_long(const Path& path, std::int64_t maximum);
  void out_of_range(const Path& path, std::int64_t minimum, std::int64_t maximum, bool below);
  void not_one_of(const Path& path, const std::vector<std::string_view>& values);
  void bad_format(const Path& path, std::string_view pattern);
  void bad_time(const Path& path);
  void unknown_keys(const Path& path, const std::vector<std::string>& keys);
  void other(const Path& path, std::string_view message);

  [[nodiscard]] bool empty() const { return list_.empty(); }
  // 400 validation_error with these findings.
  [[nodiscard]] base::Error to_error() const;

 private:
  void add(json::object issue, const Path& path, std::string message);
  json::array list_;
};

}  // namespace agentrouter::api
