// The audit chain: exported from a server, verified without one. docs/formats/audit.md is the format.

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"
#include "model/audit.h"

namespace agentrouter::cli {
namespace {

using model::AuditHead;
using model::AuditVerifier;

constexpr std::string_view audited_prefixes[] = {"action.", "approval.", "execution."};
constexpr std::string_view audited_types[] = {"limit.exceeded", "policy.evaluated", "policy.tightened",
                                              "run.cancelled",  "run.completed",    "run.failed"};

json::value parsed(std::string_view text) {
  auto value = base::parse_json(text, {.max_depth = 128, .max_bytes = 64u << 20});
  if (!value) throw UsageError{one_line(value.error().message)};
  return std::move(*value);
}

AuditHead head_of(const std::string& text) {
  auto head = model::parse_audit_head(text);
  if (!head) throw UsageError{"--head: " + head.error().message};
  return std::move(*head);
}

// Each line of a file; "-" is standard input.
template <class Take>
void each_line(const std::string& path, std::istream& in, Take take) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) throw UsageError{"cannot read " + one_line(path)};
  }
  std::istream& stream = path == "-" ? in : file;
  std::string line;
  while (std::getline(stream, line)) take(line);
}

json::object page_of(Context& context, std::int64_t after, int limit) {
  const auto target =
      "/v1/audit?after=" + std::to_string(after) + "&limit=" + std::to_string(limit);
  const auto page = parsed(context.client.call("GET", target, {}, {.stop = context.interrupt}).dump());
  if (!page.is_object() || base::get_array(page.get_object(), "items") == nullptr)
    throw Error("protocol_error", "the server's reply is no page of the audit chain");
  return page.get_object();
}

int export_chain(const Command& command, Context& context) {
  constexpr int page_size = 1000;
  for (auto after = command.after;;) {
    const auto page = page_of(context, after, page_size);
    const auto& items = *base::get_array(page, "items");
    for (const auto& item : items) context.output.out << base::to_canonical(item) << '\n';
    after = base::get_int(page, "nextAfter").value_or(after);
    if (items.size() < page_size) break;
  }
  context.output.out.flush();
  if (!context.output.out) throw UsageError{"cannot write the export"};
  return exit_code::completed;
}

// The chain's last entry as one line to keep somewhere else.
int print_head(const Command& command, Context& context) {
  const auto page = page_of(context, 0, 1);
  const auto* head = base::get_object(page, "head");
  if (head == nullptr) throw UsageError{"the audit chain has no entries yet"};
  if (command.json) {
    context.output.out << base::to_text(*head) << '\n';
  } else {
    context.output.out << base::get_int(*head, "number").value_or(0) << ":"
                       << one_line(base::get_string(*head, "hash").value_or("")) << '\n';
  }
  return exit_code::completed;
}

// The events of one run, by their sequence: what they are and what their payload's digest is.
struct EventFacts {
  std::string type;
  std::string payload_digest;
};
struct Events {
  std::string run;
  std::map<std::int64_t, EventFacts> by_sequence;
};

bool is_audited(std::string_view type) {
  return std::ranges::find(audited_types, type) != std::end(audited_types) ||
         std::ranges::any_of(audited_prefixes, [&](auto prefix) { return type.starts_with(prefix); });
}

void take_event(Events& events, const std::string& line) {
  if (line.empty()) return;
  const auto value = parsed(line);
  const auto* event = value.if_object();
  const auto sequence = event ? base::get_int(*event, "sequence") : std::nullopt;
  const auto* payload = event ? event->if_contains("payload") : nullptr;
  if (!sequence || payload == nullptr) return;  // the session behind the events of `run --json`
  const auto run = std::string(base::get_string(*event, "runId").value_or(""));
  if (!events.run.empty() && run != events.run)
    throw UsageError{"the file of events holds those of more than one run"};
  events.run = run;
  events.by_sequence[*sequence] = {std::string(base::get_string(*event, "type").value_or("")),
                                   base::json_digest(*payload)};
}

// What the chain says about the events of one run.
class EventCheck {
 public:
  explicit EventCheck(const Events& events) : events_(events) {}

  [[nodiscard]] base::Result<void> take(const json::object& entry) {
    const auto text = [&](std::string_view key) { return base::get_string(entry, key).value_or(""); };
    const auto number = base::get_int(entry, "number").value_or(0);
    const auto sequence = base::get_int(entry, "sequence").value_or(0);
    if (text("runId") != events_.run) return {};
    if (sequence == 0) {
      from_the_start_ = true;
      return {};
    }
    const auto found = events_.by_sequence.find(sequence);
    const auto named = "event " + std::to_string(sequence) + " of " + events_.run;
    if (found == events_.by_sequence.end()) return differs(number, named + " is not in the file of events");
    if (found->second.type != text("type")) return differs(number, named + " has another type");
    if (found->second.payload_digest != text("payloadDigest"))
      return differs(number, named + " has another payload");
    seen_.insert(sequence);
    return {};
  }

  [[nodiscard]] base::Result<void> finish() const {
    if (seen_.empty() && !from_the_start_)
      return base::fail(base::Code::corrupt, "the chain has no entry about run " + events_.run,
                        "audit_missing");
    for (const auto& [sequence, event] : events_.by_sequence) {
      const bool covered = !seen_.empty() && sequence <= *seen_.rbegin() &&
                           (from_the_start_ || sequence >= *seen_.begin());
      if (!covered || !is_audited(event.type) || seen_.contains(sequence)) continue;
      return base::fail(base::Code::corrupt,
                        "event " + std::to_string(sequence) + " of " + events_.run + " (" + event.type +
                            ") is not in the chain",
                        "audit_missing");
    }
    return {};
  }
  [[nodiscard]] std::size_t matched() const { return seen_.size(); }

 private:
  static tl::unexpected<base::Error> differs(std::int64_t number, const std::string& what) {
    return base::fail(base::Code::corrupt, "entry " + std::to_string(number) + ": " + what,
                      "audit_event_differs");
  }

  const Events& events_;
  std::set<std::int64_t> seen_;
  bool from_the_start_ = false;
};

AuditHead last_of(const std::string& path, std::istream& in) {
  AuditVerifier earlier({.part = true});
  each_line(path, in, [&](const std::string& line) {
    if (auto taken = earlier.take(line); !taken)
      throw UsageError{"the earlier export is broken itself: " + taken.error().message};
  });
  if (earlier.entries() == 0) throw UsageError{"the earlier export is empty"};
  return {.number = earlier.last(), .hash = earlier.hash()};
}

struct Verification {
  AuditVerifier verifier;
  std::optional<EventCheck> events = {};
  base::Result<void> result = {};

  void take(const std::string& line) {
    if (!result) return;
    result = verifier.take(line);
    if (result && events) result = events->take(verifier.entry());
  }
  void finish() {
    if (result) result = verifier.finish();
    if (result && events) result = events->finish();
  }
};

int tell(const Command& command, const Verification& done, std::ostream& out, std::ostream& err) {
  const auto& verifier = done.verifier;
  if (command.json) {
    json::object told{{"intact", done.result.has_value()}, {"entries", verifier.entries()}};
    if (verifier.entries() > 0) {
      told["first"] = verifier.first();
      told["last"] = verifier.last();
      told["hash"] = verifier.hash();
    }
    if (done.events) told["events"] = done.events->matched();
    if (!done.result)
      told["error"] =
          json::object{{"code", done.result.error().reason}, {"message", done.result.error().message}};
    out << base::to_text(told) << '\n';
  } else if (done.result) {
    out << "Intact: " << verifier.entries() << " entries";
    if (verifier.entries() > 0)
      out << ", " << verifier.first() << " to " << verifier.last() << ", head " << verifier.last() << ":"
          << verifier.hash();
    if (done.events) out << "; " << done.events->matched() << " events are as they were";
    out << '\n';
  } else {
    err << "agentrouter: the audit chain is broken: " << one_line(done.result.error().message) << " ("
        << done.result.error().reason << ")\n";
  }
  return done.result ? exit_code::completed : exit_code::failed;
}

}  // namespace

int verify_audit(const Command& command, std::istream& in, std::ostream& out, std::ostream& err) {
  if (command.file.empty()) throw UsageError{"name the export to verify, or - for standard input"};
  model::AuditKnown known{.part = command.part};
  if (!command.from_export.empty()) known.begins_behind = last_of(command.from_export, in);
  if (!command.head.empty()) known.head = head_of(command.head);
  Events events;
  if (!command.events_file.empty()) {
    each_line(command.events_file, in, [&](const std::string& line) { take_event(events, line); });
    if (events.by_sequence.empty()) throw UsageError{"the file of events has no event"};
  }
  Verification verification{.verifier = AuditVerifier(known)};
  if (!events.run.empty()) verification.events.emplace(events);
  each_line(command.file, in, [&](const std::string& line) { verification.take(line); });
  verification.finish();
  return tell(command, verification, out, err);
}

int audit(const Command& command, Context& context) {
  return command.verb == "export" ? export_chain(command, context) : print_head(command, context);
}

}  // namespace agentrouter::cli
