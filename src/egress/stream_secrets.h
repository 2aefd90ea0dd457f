#pragma once
// Secrets in the event stream of a model provider that no event has whole: texts come in pieces ("deltas").

#include <string>

#include "base/redactor.h"

namespace agentrouter::egress {

// `stream` with [REDACTED] in the place of each secret that goes over several events: the first of them has
// the mark, the others lose their part. Strings at the same place of events about the same thing (type, item,
// index) are taken for one text, whatever the provider calls them. Events that have no part of a secret stay
// as they are, byte for byte, as does what is no JSON; a secret within one event is left to who cleans that.
[[nodiscard]] std::string without_split_secrets(std::string stream, const base::Redactor& redactor);

}  // namespace agentrouter::egress
