#pragma once
// Everything that an attempt says goes through here into its journal: events get their time, lose what is
// secret, and are cut where they are larger than a response may be; whoever listens hears of the new length.

#include <functional>
#include <map>

#include "base/id.h"
#include "keeper/journal.h"
#include "base/redactor.h"
#include "model/action.h"
#include "model/event.h"

namespace agentrouter::keeper {

class Recorder {
 public:
  // The references outlive the recorder. `agent` is the source of the agent's events.
  Recorder(Journal journal, const base::Clock& clock, base::Entropy& entropy, const base::Redactor& redactor,
           model::EventSource agent);

  // Called after each append with the journal's length.
  void on_length(std::function<void(std::uint64_t)> listener) { listener_ = std::move(listener); }

  // All of these throw Failure (exhausted, storage_full) when the disk or the journal is full, and then write
  // from the reserve: what still has to be said is short.
  void event(std::string_view type, model::Visibility visibility, json::object payload);
  void agent_event(std::string_view type, std::string_view provider_event_type, json::object payload);
  void record(std::string_view kind, json::object data);
  // The same, and on the disk when it returns.
  void durable(std::string_view kind, json::object data);
  // `exit`.
  void last(json::object data);

  // Called after an append that found no more room than what the journal has preallocated.
  void on_tight(std::function<void()> listener) { tight_ = std::move(listener); }
  [[nodiscard]] bool is_tight() const { return journal_.is_tight(); }
  // Asks the disk for more; true when it has some.
  bool relieve() { return journal_.relieve(); }
  void begin_reserve() { reserve_ = true; }
  [[nodiscard]] std::uint64_t length() const { return journal_.length(); }
  [[nodiscard]] JournalFile& file() { return journal_.file(); }
  [[nodiscard]] const base::Redactor& redactor() const { return redactor_; }
  [[nodiscard]] base::Entropy& entropy() { return entropy_; }

 private:
  void append(model::EventDraft draft, json::object payload);
  void hide_rest(const std::string& type, json::object& payload);
  void hide(json::object& data) const;

  Journal journal_;
  const base::Clock& clock_;
  base::Entropy& entropy_;
  const base::Redactor& redactor_;
  model::EventSource agent_;
  bool reserve_ = false;
  std::map<std::string, std::string> ends_;  // of what the agent has said, by event and field
  std::function<void(std::uint64_t)> listener_;
  std::function<void()> tight_;
};

}  // namespace agentrouter::keeper
