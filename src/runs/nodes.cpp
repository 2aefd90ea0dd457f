#include "runs/nodes.h"

#include <algorithm>

namespace agentrouter::runs {

namespace {

constexpr std::string_view node_notes = "node";    // what does not change
constexpr std::string_view beat_notes = "beat";    // what does
constexpr std::string_view drain_notes = "drain";  // wishes
constexpr std::string_view duty_notes = "duty";

json::object read_note(const std::optional<store::Note>& note) {
  auto value = note ? base::parse_json(note->text) : base::Result<json::value>(json::object{});
  return value && value->is_object() ? std::move(value->get_object()) : json::object{};
}

std::string node_text(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

base::Time node_time(const json::object& object, std::string_view key) {
  return base::parse_iso(node_text(object, key)).value_or(base::Time{});
}

void put_json(store::Transaction& tx, std::string_view kind, std::string_view id, const json::object& object) {
  tx.put_note({std::string(kind), std::string(id), base::to_text(object)});
}

Node read_node(store::Reader& reader, const store::Note& note) {
  const auto fixed = read_note(note);
  const auto beat = read_note(reader.note(beat_notes, note.id));
  Node node;
  node.id = note.id;
  node.role = node_text(fixed, "role");
  node.version = node_text(fixed, "version");
  if (const auto* offers = base::get_object(fixed, "labels")) node.offers = Offers::from_json(*offers);
  node.offers.is_only_one = base::get_bool(fixed, "isOnlyOne").value_or(false);
  node.capacity = static_cast<int>(base::get_int(fixed, "capacity").value_or(0));
  node.started_at = node_time(fixed, "startedAt");
  node.used = static_cast<int>(base::get_int(beat, "used").value_or(0));
  node.beats = base::get_int(beat, "beats").value_or(0);
  node.seen_at = node_time(beat, "seenAt");
  node.draining = reader.note(drain_notes, note.id).has_value();
  return node;
}

void put_beat(store::Transaction& tx, std::string_view id, std::int64_t beats, int used, Context context) {
  put_json(tx, beat_notes, id,
      {{"beats", beats}, {"used", used}, {"seenAt", base::to_iso(context.clock.now())}});
}

}  // namespace

std::vector<Node> nodes(store::Reader& reader) {
  std::vector<Node> all;
  for (const auto& note : reader.notes(node_notes)) all.push_back(read_node(reader, note));
  return all;
}

std::optional<Node> node(store::Reader& reader, std::string_view id) {
  const auto note = reader.note(node_notes, id);
  if (!note) return std::nullopt;
  return read_node(reader, *note);
}

json::object to_json(const Node& node) {
  return {{"id", node.id},
          {"role", node.role},
          {"version", node.version},
          {"labels", node.offers.to_json()},
          {"capacity", node.capacity},
          {"used", node.used},
          {"draining", node.draining},
          {"startedAt", base::to_iso(node.started_at)},
          {"lastSeenAt", base::to_iso(node.seen_at)}};
}

std::string nodes_wire(const std::vector<Node>& nodes) {
  json::array items;
  for (const auto& one : nodes) items.push_back(to_json(one));
  return base::to_text(json::object{{"items", std::move(items)}});
}

void join(store::Transaction& tx, const Node& node, Others others, Context context) {
  if (others == Others::are_gone) {
    for (const auto& note : tx.notes(node_notes)) {
      if (note.id != node.id) leave(tx, note.id);
    }
  }
  put_json(tx, node_notes, node.id,
      {{"role", node.role},
       {"version", node.version},
       {"labels", node.offers.to_json()},
       {"isOnlyOne", node.offers.is_only_one},
       {"capacity", node.capacity},
       {"startedAt", base::to_iso(node.started_at)}});
  // Whoever has watched it sees it move.
  const auto before = read_note(tx.note(beat_notes, node.id));
  put_beat(tx, node.id, base::get_int(before, "beats").value_or(0) + 1, node.used, context);
}

void leave(store::Transaction& tx, std::string_view id) {
  for (const auto kind : {node_notes, beat_notes, drain_notes}) tx.delete_note(kind, id);
  for (const auto& duty : tx.notes(duty_notes)) {
    if (node_text(read_note(duty), "node") == id) tx.delete_note(duty_notes, duty.id);
  }
}

BeatAnswer beat(store::Transaction& tx, const Beat& beat, Context context) {
  BeatAnswer answer;
  if (!tx.note(node_notes, beat.id)) return answer;
  answer.is_known = true;
  answer.draining = tx.note(drain_notes, beat.id).has_value();
  const auto before = read_note(tx.note(beat_notes, beat.id));
  put_beat(tx, beat.id, base::get_int(before, "beats").value_or(0) + 1, beat.used, context);
  for (const auto& duty : beat.wants) {
    const auto holder = holder_of(tx, duty);
    if (holder.empty()) put_json(tx, duty_notes, duty, json::object{{"node", beat.id}});
    if (holder.empty() || holder == beat.id) answer.duties.push_back(duty);
  }
  return answer;
}

std::vector<NodeSeen> beats_of_all(store::Reader& reader) {
  std::vector<NodeSeen> all;
  for (const auto& note : reader.notes(beat_notes))
    all.push_back({note.id, base::get_int(read_note(note), "beats").value_or(0)});
  return all;
}

bool forget_node(store::Transaction& tx, const NodeSeen& seen) {
  const auto now = node(tx, seen.id);
  if (now && now->beats != seen.beats) return false;
  leave(tx, seen.id);
  return true;
}

base::Result<Node> set_draining(store::Transaction& tx, std::string_view id, bool draining) {
  auto found = node(tx, id);
  if (!found)
    return base::fail(base::Code::not_found, "there is no node " + std::string(id) + ": GET /v1/nodes lists them",
                      "node_not_found");
  if (draining && !found->draining) put_json(tx, drain_notes, id, json::object{});
  if (!draining && found->draining) tx.delete_note(drain_notes, id);
  found->draining = draining;
  return std::move(*found);
}

std::string holder_of(store::Reader& reader, std::string_view duty) {
  auto holder = node_text(read_note(reader.note(duty_notes, duty)), "node");
  return reader.note(node_notes, holder) ? holder : std::string();
}

std::optional<Unplaceable> unplaceable(const std::vector<Node>& nodes, const Needs& needs) {
  Unplaceable result{needs, 0};
  bool first = true;
  for (const auto& one : nodes) {
    if (!one.takes_runs()) continue;
    ++result.workers;
    auto missing = one.offers.missing(needs);
    if (missing.empty()) return std::nullopt;
    if (std::exchange(first, false) || missing.size() < result.missing.size()) result.missing = std::move(missing);
  }
  return result;
}

}  // namespace agentrouter::runs
