#include "egress/key_filter.h"

#include <algorithm>

#include "base/secret_forms.h"

namespace agentrouter::egress {

KeyFilter::KeyFilter(std::string_view key) : key_(key.size() < least_bytes ? "" : key) {
  borders_.resize(key_.size());
  for (std::size_t i = 1, length = 0; i < key_.size(); ++i) {
    while (length > 0 && key_[i] != key_[length]) length = borders_[length - 1];
    if (key_[i] == key_[length]) ++length;
    borders_[i] = static_cast<std::uint16_t>(length);
  }
}

KeyFilter::Verdict KeyFilter::feed(std::string_view bytes, std::string& out) {
  if (key_.empty()) {
    out += bytes;
    return Verdict::clean;
  }
  while (!bytes.empty()) {
    if (matched_ == 0) {
      const auto next = std::min(bytes.find(key_[0]), bytes.size());
      out += bytes.substr(0, next);
      bytes.remove_prefix(next);
      if (bytes.empty()) break;
    }
    const char c = bytes[0];
    bytes.remove_prefix(1);
    while (matched_ > 0 && key_[matched_] != c) {
      const std::size_t kept = borders_[matched_ - 1];
      out += key_.substr(0, matched_ - kept);
      matched_ = kept;
    }
    if (key_[matched_] != c) {
      out += c;
    } else if (++matched_ == key_.size()) {
      return Verdict::found;
    }
  }
  return Verdict::clean;
}

void KeyFilter::finish(std::string& out) {
  out += key_.substr(0, matched_);
  matched_ = 0;
}

bool KeyFilter::occurs_in(std::string_view text) const {
  return !key_.empty() && text.find(key_) != std::string_view::npos;
}

KeyForms::KeyForms(std::string_view key) {
  // What is too short to be searched for as it is, is so in every form.
  if (key.size() < KeyFilter::least_bytes) return;
  std::size_t bytes = 0;
  base::each_secret_form(key, KeyFilter::least_bytes, [&](const auto& form) { bytes += form.text.size(); });
  text_ = SecretBuffer(bytes);
  base::each_secret_form(key, KeyFilter::least_bytes, [this](const auto& form) { add(form.text); });
}

void KeyForms::add(std::string_view form) {
  if (std::ranges::find(forms_, form) != forms_.end()) return;
  const auto begin = text_.size();
  text_.append(form);
  forms_.push_back(text_.view().substr(begin));
}

std::vector<KeyFilter> KeyForms::filters() const {
  return {forms_.begin(), forms_.end()};
}

KeyFilter::Verdict KeyFilters::feed(std::string_view bytes, std::string& out) {
  using Verdict = KeyFilter::Verdict;
  auto verdict = Verdict::clean;
  std::string piece(bytes);
  for (auto& filter : filters_) {
    std::string passed;
    if (filter.feed(piece, passed) == Verdict::found) verdict = Verdict::found;
    piece = std::move(passed);
  }
  out += piece;
  return verdict;
}

KeyFilter::Verdict KeyFilters::finish(std::string& out) {
  using Verdict = KeyFilter::Verdict;
  std::string piece;
  for (auto& filter : filters_) {
    std::string passed;
    if (filter.feed(piece, passed) == Verdict::found) return Verdict::found;
    filter.finish(passed);
    piece = std::move(passed);
  }
  out += piece;
  return Verdict::clean;
}

bool KeyFilters::occurs_in(std::string_view text) const {
  return std::any_of(filters_.begin(), filters_.end(),
                     [text](const KeyFilter& filter) { return filter.occurs_in(text); });
}

}  // namespace agentrouter::egress
