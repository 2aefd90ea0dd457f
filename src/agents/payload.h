#pragma once
// Keeps event payloads small: what an agent sends may be megabytes, an event shows the begin of it. No cut
// goes through what `hidden` knows.

#include <functional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/redactor.h"

namespace agentrouter::agents {

// Cuts each top-level string of more than 8 KiB at a character and adds `<key>Truncated: true`.
void cap_fields(json::object& payload, const base::Redactor& hidden);

// `args` itself, or when its text is over 16 KiB {"preview": <begin of its text>, "truncated": true}.
[[nodiscard]] json::object bounded_args(json::object args, const base::Redactor& hidden);

// One line of at most 200 bytes for people: line ends become blanks, the cut is marked by "...".
[[nodiscard]] std::string one_line(std::string_view text, const base::Redactor& hidden);

// The begin of a text that tells two of them apart, of at most 200 bytes: to be kept, not to be shown.
[[nodiscard]] std::string short_key(std::string_view text);

// `path` relative to `folder` when it is below it, else as it is.
[[nodiscard]] std::string relative_path(std::string_view path, std::string_view folder);

// The member of an agent's message; empty when it is missing or of another type.
[[nodiscard]] std::string text_of(const json::object& object, std::string_view key);
[[nodiscard]] const json::object& object_of(const json::object& object, std::string_view key);

// `line` as it is, or when `strip` changes one of its objects `message`, which is that line parsed, written
// anew.
[[nodiscard]] std::string stripped_line(std::string_view line, const json::object& message,
                                        const std::function<void(json::object&)>& strip);

}  // namespace agentrouter::agents
