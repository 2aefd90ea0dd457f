#include "blobs/s3/xml.h"

#include <charconv>
#include <cstdint>

namespace agentrouter::blobs {

namespace {

using base::Code;
using base::Result;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.' || c == ':';
}

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
  } else if (code < 0x10000) {
    out += {static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 63)),
            static_cast<char>(0x80 | (code & 63))};
  } else {
    out += {static_cast<char>(0xf0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 63)),
            static_cast<char>(0x80 | (code >> 6 & 63)), static_cast<char>(0x80 | (code & 63))};
  }
}

class XmlReader {
 public:
  XmlReader(std::string_view text, const XmlLimits& limits) : text_(text), limits_(limits) {}

  Result<XmlElement> read() {
    if (text_.size() > limits_.bytes)
      return fail("it is longer than " + std::to_string(limits_.bytes) + " bytes");
    if (starts("\xef\xbb\xbf")) at_ += 3;
    skip_space();  // by which a store says that it is still at work
    if (starts("<?xml")) {
      const auto end = text_.find("?>", at_);
      if (end == std::string_view::npos) return fail("its declaration does not end");
      at_ = end + 2;
    }
    skip_space();
    XmlElement root;
    if (auto done = element(root, 0); !done) return tl::unexpected(done.error());
    skip_space();
    if (at_ != text_.size()) return fail("something follows its root");
    return root;
  }

 private:
  tl::unexpected<base::Error> fail(const std::string& what) const {
    return base::fail(Code::invalid, "cannot read XML: " + what + ", at byte " + std::to_string(at_));
  }
  [[nodiscard]] bool starts(std::string_view with) const { return text_.substr(at_).starts_with(with); }
  [[nodiscard]] char now() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  Result<std::string> name() {
    const auto begin = at_;
    while (is_name_char(now())) ++at_;
    if (at_ == begin || at_ - begin > 128) return fail("there is no name that can be used");
    const auto whole = text_.substr(begin, at_ - begin);
    const auto colon = whole.rfind(':');
    const auto local = colon == std::string_view::npos ? whole : whole.substr(colon + 1);
    if (local.empty()) return fail("there is no name that can be used");
    return std::string(local);
  }

  Result<void> attribute() {
    AGENTROUTER_TRY(const auto ignored, name());
    skip_space();
    if (now() != '=') return fail("an attribute has no value");
    ++at_;
    skip_space();
    const char quote = now();
    if (quote != '"' && quote != '\'') return fail("an attribute has no quoted value");
    const auto end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos || text_.substr(at_, end - at_).find('<') != std::string_view::npos)
      return fail("an attribute does not end");
    at_ = end + 1;
    return {};
  }

  Result<void> reference(std::string& into) {
    const auto end = text_.find(';', at_);
    if (end == std::string_view::npos || end - at_ > 10) return fail("an entity does not end");
    const auto what = text_.substr(at_ + 1, end - at_ - 1);
    static constexpr std::pair<std::string_view, char> known[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (const auto& [word, c] : known) {
      if (what != word) continue;
      into += c;
      at_ = end + 1;
      return {};
    }
    if (!what.starts_with('#')) return fail("an entity is not known");
    const bool hex = what.starts_with("#x");
    const auto digits = what.substr(hex ? 2 : 1);
    std::uint32_t code = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
    const bool allowed = code == 9 || code == 10 || code == 13 || (code >= 0x20 && code < 0xd800) ||
                         (code >= 0xe000 && code < 0xfffe) || (code >= 0x10000 && code <= 0x10ffff);
    if (digits.empty() || read.ec != std::errc() || read.ptr != digits.data() + digits.size() || !allowed)
      return fail("a character reference names no character");
    append_utf8(into, code);
    at_ = end + 1;
    return {};
  }

  // Its end tag; `into` has the name.
  Result<void> end_tag(const XmlElement& into) {
    at_ += 2;
    AGENTROUTER_TRY(const auto closed, name());
    skip_space();
    if (closed != into.name || now() != '>') return fail("an element is closed that is not open");
    ++at_;
    return {};
  }

  Result<void> content(XmlElement& into, int depth) {
    for (;;) {
      if (at_ >= text_.size()) return fail("an element does not end");
      if (starts("</")) return end_tag(into);
      if (now() == '<') {
        if (auto done = element(into.children.emplace_back(), depth + 1); !done) return done;
      } else if (now() == '&') {
        if (auto done = reference(into.text); !done) return done;
      } else {
        const auto c = static_cast<unsigned char>(now());
        if (c < 0x20 && !is_space(now())) return fail("there is a control character");
        into.text += now();
        ++at_;
      }
    }
  }

  Result<void> element(XmlElement& into, int depth) {
    if (depth >= limits_.depth) return fail("its elements are nested too deeply");
    if (++elements_ > limits_.elements) return fail("it has too many elements");
    if (now() != '<') return fail("there is no element");
    ++at_;
    AGENTROUTER_TRY(into.name, name());
    for (;;) {
      const bool space = is_space(now());
      skip_space();
      if (starts("/>")) {
        at_ += 2;
        return {};
      }
      if (now() == '>') break;
      if (!space) return fail("a tag does not end");
      if (auto done = attribute(); !done) return done;
    }
    ++at_;
    return content(into, depth);
  }

  std::string_view text_;
  const XmlLimits& limits_;
  std::size_t at_ = 0;
  std::size_t elements_ = 0;
};

}  // namespace

const XmlElement* XmlElement::child(std::string_view wanted) const {
  for (const auto& one : children) {
    if (one.name == wanted) return &one;
  }
  return nullptr;
}

std::string_view XmlElement::text_of(std::string_view wanted) const {
  const auto* found = child(wanted);
  return found == nullptr ? std::string_view() : std::string_view(found->text);
}

Result<XmlElement> parse_xml(std::string_view text, const XmlLimits& limits) {
  return XmlReader(text, limits).read();
}

}  // namespace agentrouter::blobs
