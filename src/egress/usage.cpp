#include "egress/usage.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/ascii.h"

namespace agentrouter::egress {

namespace {

constexpr std::size_t max_key_bytes = 32;
constexpr std::size_t max_number_bytes = 15;
constexpr std::string_view field = "data:";

// Where a number at `path` belongs; nothing for any other path.
std::optional<std::int64_t>* slot(Usage& usage, std::string_view path) {
  for (const std::string_view around : {"response.", "message."}) {
    if (path.substr(0, around.size()) == around) path.remove_prefix(around.size());
  }
  if (path == "usage.input_tokens") return &usage.input_tokens;
  if (path == "usage.output_tokens") return &usage.output_tokens;
  if (path == "usage.input_tokens_details.cached_tokens") return &usage.cached_input_tokens;
  if (path == "usage.cache_read_input_tokens") return &usage.cached_input_tokens;
  if (path == "usage.cache_creation_input_tokens") return &usage.cache_write_tokens;
  if (path == "usage.output_tokens_details.reasoning_tokens") return &usage.reasoning_output_tokens;
  return nullptr;
}

// Names, kinds and what nobody can read: not what the model said.
bool is_about(std::string_view key) {
  constexpr std::string_view keys[] = {"id",   "type",      "role",  "status",    "call_id",          "item_id",
                                       "name", "namespace", "phase", "signature", "encrypted_content", "object"};
  return std::ranges::find(keys, key) != std::end(keys);
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

}  // namespace

void UsageScanner::feed(std::string_view json) {
  for (const char c : json) {
    if (in_string_) {
      take_in_string(c);
    } else {
      take(c);
    }
  }
}

void UsageScanner::reset() {
  depth_ = 0;
  in_string_ = escaped_ = false;
  hex_digits_ = 0;
  number_.clear();
  is_integer_ = true;
}

// An escape stands for what it means.
void UsageScanner::count(char c) {
  if (hex_digits_ > 0) {
    --hex_digits_;
  } else if (escaped_) {
    hex_digits_ = c == 'u' ? 4 : 0;
    ++*counting_;
  } else if (c != '\\' && c != '"') {
    ++*counting_;
  }
}

std::int64_t* UsageScanner::place_of_text() {
  if (is_key_ || depth_ == 0) return nullptr;
  std::string_view key;
  for (std::size_t i = std::min<std::size_t>(depth_, levels); i-- > 0 && key.empty();) key = level_[i].key;
  if (is_about(key)) return nullptr;
  const std::string_view outer = level_[0].key;
  const std::string_view inner = depth_ > 1 ? std::string_view(level_[1].key) : std::string_view();
  if (outer == "delta" || outer == "content_block") return &text_[0];
  if (outer == "item") return &text_[1];
  if (outer == "response" && inner == "output") return &text_[2];
  if (outer == "output" || outer == "content" || (outer == "message" && inner == "content")) return &text_[3];
  return nullptr;
}

void UsageScanner::take_in_string(char c) {
  if (counting_ != nullptr) count(c);
  if (escaped_) {
    escaped_ = false;
  } else if (c == '\\') {
    escaped_ = true;
  } else if (c == '"') {
    in_string_ = false;
    if (is_key_) level_[depth_ - 1].key = key_;
    return;
  }
  if (is_key_ && key_.size() <= max_key_bytes) key_ += c;
}

void UsageScanner::take(char c) {
  switch (c) {
    case '"':
      in_string_ = true;
      is_key_ = depth_ > 0 && depth_ <= levels && level_[depth_ - 1].expects_key;
      key_.clear();
      counting_ = place_of_text();
      break;
    case '{':
    case '[':
      open(c == '{');
      break;
    case '}':
    case ']':
      end_number();
      close();
      break;
    case ',':
      end_number();
      if (depth_ > 0 && depth_ <= levels) level_[depth_ - 1].expects_key = level_[depth_ - 1].is_object;
      break;
    case ':':
      if (depth_ > 0 && depth_ <= levels) level_[depth_ - 1].expects_key = false;
      break;
    default:
      if (is_blank(c)) break;
      is_integer_ = is_integer_ && c >= '0' && c <= '9' && number_.size() < max_number_bytes;
      if (is_integer_) number_ += c;
  }
}

void UsageScanner::open(bool is_object) {
  ++depth_;
  if (depth_ <= levels) level_[depth_ - 1] = {is_object, is_object, {}};
}

void UsageScanner::close() {
  if (depth_ > 0) --depth_;
}

void UsageScanner::end_number() {
  const auto text = std::exchange(number_, {});
  const bool is_integer = std::exchange(is_integer_, true);
  if (!is_integer || text.empty() || depth_ == 0 || depth_ > levels) return;
  Usage now = usage_.value_or(Usage());
  auto* place = slot(now, path());
  std::int64_t value = 0;
  if (!place || std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) return;
  *place = value;
  usage_ = now;
}

std::string UsageScanner::path() const {
  std::string path;
  for (std::size_t i = 0; i < depth_; ++i) {
    if (!level_[i].is_object) return {};
    path += (i == 0 ? "" : ".") + level_[i].key;
  }
  return path;
}

UsageMeter::Format UsageMeter::format_of(std::string_view content_type) {
  std::string kind = base::ascii_lower(content_type.substr(0, content_type.find(';')));
  while (!kind.empty() && is_blank(kind.back())) kind.pop_back();
  if (kind == "text/event-stream") return Format::events;
  return kind == "application/json" ? Format::json : Format::none;
}

void UsageMeter::feed(std::string_view body) {
  if (format_ == Format::none) other_bytes_ += static_cast<std::int64_t>(body.size());
  if (format_ == Format::json) scanner_.feed(body);
  if (format_ != Format::events) return;
  while (!body.empty()) {
    if (line_ == Line::begin) {
      take_line_start(body[0]);
      body.remove_prefix(1);
      continue;
    }
    const auto end = std::min(body.find_first_of("\r\n"), body.size());
    if (line_ == Line::data) scanner_.feed(body.substr(0, end));
    body.remove_prefix(end);
    if (!body.empty()) line_ = Line::begin;
  }
}

void UsageMeter::take_line_start(char c) {
  if (c == '\r') return;
  if (c == '\n') {
    // The end of a line, or an empty one, which ends the event; a document may have several data lines.
    if (std::exchange(after_newline_, true) && prefix_.empty()) scanner_.reset();
    prefix_.clear();
    return;
  }
  after_newline_ = false;
  prefix_ += c;
  if (prefix_ == field) {
    line_ = Line::data;
  } else if (field.substr(0, prefix_.size()) != prefix_) {
    line_ = Line::other;
  } else {
    return;
  }
  prefix_.clear();
}

}  // namespace agentrouter::egress
