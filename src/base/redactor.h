#pragma once
// Takes known secrets out of text on its way to where people look. It knows only what they look like
// (needles.h), not what they are.

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/needles.h"

namespace agentrouter::base {

class Redactor {
 public:
  using Text = Needles::Text;

  // Nothing is hidden.
  Redactor() = default;
  explicit Redactor(std::vector<Needles> needles);
  Redactor(std::span<const std::string_view> secrets, Entropy& entropy)
      : Redactor(std::vector{Needles(secrets, entropy)}) {}

  // Puts [REDACTED] in the place of what must not be seen; true when there was something. Line ends within a
  // secret do not hide it. JSON stays JSON.
  bool clean(std::string& text, Text kind) const;
  // The same for plain text that goes on where `before` ended, which others have seen already: of a secret
  // that began there its rest is taken out.
  bool clean_rest(std::string_view before, std::string& text) const;
  // How much of `before` matters to clean_rest.
  [[nodiscard]] std::size_t longest() const { return longest_; }
  // In plain text.
  [[nodiscard]] bool occurs_in(std::string_view text) const;
  [[nodiscard]] const std::vector<Needles>& needles() const { return needles_; }

 private:
  std::vector<Needles> needles_;
  std::size_t longest_ = 0;
};

// From now on in every line that this process logs (log.h). Safe from any thread; the last call counts.
void hide_in_logs(Redactor redactor);

}  // namespace agentrouter::base
