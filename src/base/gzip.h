#pragma once
// gzip members. Equal input gives equal bytes (no time, no name), so that work repeated after a crash
// produces the same artifact; members put one after another are one valid gzip file.

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::base {

[[nodiscard]] std::string gzip(std::string_view bytes);
// All members. Errors: corrupt; exhausted when the content is over `max_bytes`.
[[nodiscard]] Result<std::string> gunzip(std::string_view bytes, std::size_t max_bytes);

// The same piece by piece.
class Gunzip {
 public:
  Gunzip();
  ~Gunzip();
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;
  // What these bytes give: up to a thousand times as many. Errors: corrupt, and nothing more is to be fed
  // then.
  [[nodiscard]] Result<std::string> feed(std::string_view bytes);
  // False while a member is open.
  [[nodiscard]] bool is_whole() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace agentrouter::base
