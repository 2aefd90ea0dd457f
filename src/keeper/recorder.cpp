#include "keeper/recorder.h"

#include <algorithm>

#include "model/defaults.h"

namespace agentrouter::keeper {
namespace {

// Cuts the strings of `value`, deepest first, until all of them together fit into `budget` bytes.
bool cut_strings(json::value& value, std::size_t& budget, const base::Redactor& hidden) {
  bool cut = false;
  if (json::string* text = value.if_string()) {
    if (text->size() > budget) {
      *text = hidden.cut(std::string_view(text->data(), text->size()), budget);
      cut = true;
    }
    budget -= text->size();
  } else if (json::array* array = value.if_array()) {
    for (auto& item : *array) cut = cut_strings(item, budget, hidden) || cut;
  } else if (json::object* object = value.if_object()) {
    for (auto& field : *object) cut = cut_strings(field.value(), budget, hidden) || cut;
  }
  return cut;
}

}  // namespace

Recorder::Recorder(Journal journal, const base::Clock& clock, base::Entropy& entropy,
                   const base::Redactor& redactor, model::EventSource agent)
    : journal_(std::move(journal)), clock_(clock), entropy_(entropy), redactor_(redactor), agent_(agent) {}

void Recorder::event(std::string_view type, model::Visibility visibility, json::object payload) {
  model::EventDraft draft;
  draft.type = type;
  draft.source = model::EventSource::worker;
  draft.visibility = visibility;
  append(std::move(draft), std::move(payload));
}

void Recorder::agent_event(std::string_view type, std::string_view provider_event_type,
                           json::object payload) {
  model::EventDraft draft;
  draft.type = type;
  draft.source = agent_;
  draft.provider_event_type = provider_event_type;
  hide_rest(draft.type, payload);
  append(std::move(draft), std::move(payload));
}

// A secret may come in two messages: half of it has been written then, and the other half is not.
void Recorder::hide_rest(const std::string& type, json::object& payload) {
  const std::size_t longest = redactor_.longest();
  for (const auto* key : {"message", "text", "output"}) {
    const auto said = base::get_string(payload, key);
    if (longest == 0 || !said || said->empty()) continue;
    std::string text(*said);
    auto& before = ends_[type + "/" + key];
    const std::string all = before + text.substr(text.size() - std::min(text.size(), longest));
    if (redactor_.clean_rest(before, text)) payload[key] = text;
    before = all.substr(all.size() - std::min(all.size(), longest));
  }
}

void Recorder::append(model::EventDraft draft, json::object payload) {
  json::value value(std::move(payload));
  // Escapes can make a text six times as long.
  for (std::size_t most = model::defaults::response_bytes; most > 1024; most /= 2) {
    std::size_t budget = most;
    draft.truncated = cut_strings(value, budget, redactor_) || draft.truncated;
    draft.payload = base::to_text(value);
    if (draft.payload.size() <= 2 * model::defaults::response_bytes) break;
  }
  redactor_.clean(draft.payload, base::Redactor::Text::json);
  draft.created_at = clock_.now();
  auto data =
      base::value_or_throw(base::parse_json(draft.to_json_text(), {.max_depth = 96, .max_bytes = 64u << 20}));
  record("event", std::move(data.as_object()));
}

void Recorder::record(std::string_view kind, json::object data) {
  if (kind != "event") hide(data);
  auto written =
      reserve_ ? journal_.append_last(kind, std::move(data)) : journal_.append(kind, std::move(data));
  if (!written) {
    if (written.error().code == base::Code::exhausted) reserve_ = true;
    throw base::Failure(std::move(written).error());
  }
  if (listener_) listener_(journal_.length());
  if (tight_ && journal_.is_tight()) tight_();
}

void Recorder::hide(json::object& data) const {
  auto text = base::to_text(data);
  if (!redactor_.clean(text, base::Redactor::Text::json)) return;
  data = base::value_or_throw(base::parse_json(text, {.max_depth = 96, .max_bytes = 64u << 20})).as_object();
}

void Recorder::durable(std::string_view kind, json::object data) {
  record(kind, std::move(data));
  base::value_or_throw(journal_.sync());
}

void Recorder::last(json::object data) {
  reserve_ = true;
  durable("exit", std::move(data));
}

}  // namespace agentrouter::keeper
