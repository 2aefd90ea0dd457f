#pragma once
// XML as far as S3 stores write it: one tree of elements and their text. Attributes are checked and
// forgotten, prefixes of names too. No DTD, comments, CDATA, processing instructions (but the declaration),
// nor entities beyond the five.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace agentrouter::blobs {

struct XmlElement {
  std::string name;
  std::string text;  // of this element alone, without what is within its children
  std::vector<XmlElement> children;

  // The first child of that name; null: there is none.
  [[nodiscard]] const XmlElement* child(std::string_view name) const;
  // Its text; empty when there is none.
  [[nodiscard]] std::string_view text_of(std::string_view name) const;
};

struct XmlLimits {
  std::size_t bytes = 8u << 20;
  int depth = 8;
  std::size_t elements = 20'000;
};

// Errors: invalid, saying what stands where.
[[nodiscard]] base::Result<XmlElement> parse_xml(std::string_view text, const XmlLimits& limits = {});

}  // namespace agentrouter::blobs
