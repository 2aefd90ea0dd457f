#pragma once
// What happened in a run. A draft is everything but the number; the store numbers it. The payload is valid
// JSON text from the moment it is made, stored and replayed as it is.

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "model/ids.h"

namespace agentrouter::model {

enum class EventSource { worker, api, codex, claude_code };
[[nodiscard]] std::string_view to_string(EventSource source);
[[nodiscard]] EventSource parse_event_source(std::string_view text);

enum class Visibility { open, internal, redacted };  // wire: public, internal, redacted
[[nodiscard]] std::string_view to_string(Visibility visibility);
[[nodiscard]] Visibility parse_visibility(std::string_view text);

struct ArtifactRef {
  ArtifactId artifact_id;
  std::string r2_key;
};

struct EventDraft {
  std::string type;  // "agent.message"
  EventSource source = EventSource::worker;
  Visibility visibility = Visibility::open;
  std::string provider_event_type;  // empty: left out
  std::string payload = "{}";       // a JSON object
  std::optional<ArtifactRef> artifact_ref;
  bool truncated = false;
  base::Time created_at;

  // As the journal keeps it: {type, source, visibility, providerEventType?, payload, artifactRef?, isTruncated?, createdAt}.
  [[nodiscard]] std::string to_json_text() const;
  // Errors: corrupt.
  [[nodiscard]] static base::Result<EventDraft> from_json_text(std::string_view text);
};

struct Event : EventDraft {
  RunId run_id;
  Seq sequence = 0;

  // The RunEvent of the wire on one line.
  [[nodiscard]] std::string to_wire() const;
};

}  // namespace agentrouter::model
