#include "egress/stream_secrets.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace agentrouter::egress {
namespace {

using Span = base::Redactor::Span;

constexpr std::string_view redacted_mark = "[REDACTED]";
// What tells things apart that come at the same time.
constexpr std::array<std::string_view, 6> names_of_thing{"type",          "item_id",       "output_index",
                                                         "content_index", "summary_index", "index"};

// Each line of data that is JSON, and where that begins and ends in the stream.
void each_data(std::string_view stream,
               const std::function<void(std::size_t, std::size_t, json::value)>& take) {
  constexpr std::string_view field = "data:";
  for (std::size_t begin = 0; begin < stream.size();) {
    const auto end = std::min(stream.find('\n', begin), stream.size());
    const auto line = stream.substr(begin, end - begin);
    if (line.starts_with(field)) {
      const auto at = begin + field.size();
      const auto last = line.ends_with('\r') ? end - 1 : end;
      auto value =
          base::parse_json(stream.substr(at, last - at), {.max_depth = 136, .max_bytes = stream.size()});
      if (value) take(at, last, std::move(*value));
    }
    begin = end + 1;
  }
}

std::string thing_of(const json::value& event) {
  std::string thing;
  const auto* object = event.if_object();
  for (const auto name : names_of_thing) {
    const auto* value = object == nullptr ? nullptr : object->if_contains(name);
    if (value != nullptr && value->is_primitive()) thing += base::to_text(*value);
    thing += ';';
  }
  return thing;
}

// Each string of a value with a name that says where it stands, and the key that it has.
void each_string(json::value& value, const std::string& place, std::string_view key,
                 const std::function<void(const std::string&, std::string_view, json::string&)>& take) {
  if (auto* text = value.if_string()) {
    take(place, key, *text);
  } else if (auto* array = value.if_array()) {
    for (std::size_t i = 0; i < array->size(); ++i)
      each_string((*array)[i], place + "#" + std::to_string(i), key, take);
  } else if (auto* object = value.if_object()) {
    for (auto& member : *object) {
      const std::string_view name = member.key();
      each_string(member.value(), place + "/" + std::to_string(name.size()) + ":" + std::string(name), name,
                  take);
    }
  }
}

struct Piece {
  std::size_t line = 0;   // where its event's JSON begins in the stream
  std::size_t begin = 0;  // in the text
  std::size_t end = 0;
};

struct Text {
  std::string text;
  std::vector<Piece> pieces;
  base::Redactor::Text kind = base::Redactor::Text::plain;
};

using Texts = std::map<std::string, Text>;  // by thing and place

// Arguments of calls are JSON.
bool is_json(const std::string& thing, std::string_view key) {
  return key == "partial_json" || key == "arguments" ||
         (key == "delta" && thing.find("arguments") != std::string::npos);
}

Texts texts_of(std::string_view stream) {
  Texts texts;
  each_data(stream, [&](std::size_t line, std::size_t, json::value event) {
    const auto thing = thing_of(event);
    each_string(event, thing, {},
                [&](const std::string& place, std::string_view key, const json::string& piece) {
                  auto& text = texts[place];
                  if (is_json(thing, key)) text.kind = base::Redactor::Text::json;
                  text.pieces.push_back({line, text.text.size(), text.text.size() + piece.size()});
                  text.text += std::string_view(piece);
                });
  });
  return texts;
}

// Of one string of one event.
struct Edit {
  Span span;  // in the string
  bool marks = false;
};
using Edits = std::map<std::size_t, std::map<std::string, std::vector<Edit>>>;  // by line and place

void add_edits(const std::string& place, const Text& text, const Span& span, Edits& edits) {
  const auto first = std::ranges::upper_bound(text.pieces, span.begin, {}, &Piece::end);
  if (first == text.pieces.end() || first->end >= span.end) return;
  for (auto piece = first; piece != text.pieces.end() && piece->begin < span.end; ++piece) {
    const auto begin = std::max(span.begin, piece->begin) - piece->begin;
    const auto end = std::min(span.end, piece->end) - piece->begin;
    if (begin < end) edits[piece->line][place].push_back({{begin, end}, piece == first});
  }
}

Edits edits_of(const Texts& texts, const base::Redactor& redactor) {
  Edits edits;
  for (const auto& [place, text] : texts) {
    if (text.pieces.size() < 2) continue;
    for (const auto& span : redactor.spans(text.text, text.kind)) add_edits(place, text, span, edits);
  }
  return edits;
}

void apply(const std::vector<Edit>& edits, json::string& piece) {
  for (auto edit = edits.rbegin(); edit != edits.rend(); ++edit)
    piece.replace(edit->span.begin, edit->span.end - edit->span.begin, edit->marks ? redacted_mark : "");
}

}  // namespace

std::string without_split_secrets(std::string stream, const base::Redactor& redactor) {
  if (redactor.longest() == 0) return stream;
  const auto edits = edits_of(texts_of(stream), redactor);
  if (edits.empty()) return stream;
  std::string clean;
  std::size_t from = 0;
  each_data(stream, [&](std::size_t begin, std::size_t end, json::value event) {
    const auto of_event = edits.find(begin);
    if (of_event == edits.end()) return;
    each_string(event, thing_of(event), {},
                [&](const std::string& place, std::string_view, json::string& piece) {
                  const auto of_string = of_event->second.find(place);
                  if (of_string != of_event->second.end()) apply(of_string->second, piece);
                });
    clean.append(stream, from, begin - from).append(" ").append(base::to_text(event));
    from = end;
  });
  return clean.append(stream, from, std::string::npos);
}

}  // namespace agentrouter::egress
