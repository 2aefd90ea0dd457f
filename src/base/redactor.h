#pragma once
// Takes known secrets out of text on its way to where people look. It knows only what they look like
// (needles.h), not what they are.

#include <memory>
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
  // Where in the text secrets are, in order; those that overlap are one.
  struct Span {
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  [[nodiscard]] std::vector<Span> spans(std::string_view text, Text kind) const;
  // The beginning of `text`, of at most `most` bytes, cut at a character and not within a secret: what is
  // left of one after a cut would be known as a secret no more, so it goes before. Looks only at what is near
  // the cut.
  [[nodiscard]] std::string_view cut(std::string_view text, std::size_t most, Text kind = Text::plain) const;
  [[nodiscard]] const std::vector<Needles>& needles() const { return needles_; }

 private:
  std::vector<Needles> needles_;
  std::size_t longest_ = 0;
};

// Hides nothing.
inline const Redactor no_secrets;

// From now on in every line that this process logs (log.h) and in what it shows (shown.h). Safe from any
// thread; the last call counts.
void hide_in_logs(Redactor redactor);
// What the last call told. Never null.
[[nodiscard]] std::shared_ptr<const Redactor> hidden_in_logs();

}  // namespace agentrouter::base
