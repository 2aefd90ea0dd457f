#include "runs/kept_trees.h"

#include <algorithm>

#include "base/json.h"

namespace agentrouter::runs {

namespace {

constexpr std::string_view tree_notes = "tree";
constexpr std::string_view doomed_notes = "doomed_tree";

std::string tree_note(const KeptTree& tree) {
  json::array parts;
  for (const auto& part : tree.parts)
    parts.push_back(json::object{{"path", part.path}, {"key", part.key}, {"sha256", part.sha256}});
  return base::to_text(json::object{{"name", tree.name},
                                    {"source", tree.source == KeptTree::Source::git ? "git" : "upload"},
                                    {"parts", std::move(parts)},
                                    {"keptAt", base::to_iso(tree.kept_at)}});
}

std::string tree_text(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

KeptTree read_tree(const store::Note& note) {
  KeptTree tree;
  const auto value = base::parse_json(note.text);
  const auto* object = value ? value->if_object() : nullptr;
  if (object == nullptr) return tree;
  tree.name = tree_text(*object, "name");
  tree.source = tree_text(*object, "source") == "git" ? KeptTree::Source::git : KeptTree::Source::upload;
  tree.kept_at = base::parse_iso(tree_text(*object, "keptAt")).value_or(base::Time{});
  const auto* parts = base::get_array(*object, "parts");
  for (const auto& item : parts ? *parts : json::array{}) {
    if (const auto* part = item.if_object())
      tree.parts.push_back({tree_text(*part, "path"), tree_text(*part, "key"), tree_text(*part, "sha256")});
  }
  return tree;
}

// Of a tree on its way out: there may be several of one name.
std::string doomed_id(const KeptTree& tree) {
  return tree.parts.empty() ? tree.name : tree.parts.front().key;
}

}  // namespace

std::optional<KeptTree> kept_tree(store::Reader& reader, const std::string& name) {
  const auto note = reader.note(tree_notes, name);
  if (!note) return std::nullopt;
  return read_tree(*note);
}

std::optional<KeptTree> kept_tree_beginning(store::Reader& reader, const std::string& prefix) {
  const auto found = reader.notes(tree_notes, prefix, 1);
  if (found.empty()) return std::nullopt;
  return read_tree(found.front());
}

bool keep_tree(store::Transaction& tx, const KeptTree& tree) {
  if (tx.note(tree_notes, tree.name)) return false;
  tx.put_note({std::string(tree_notes), tree.name, tree_note(tree)});
  return true;
}

std::vector<KeptTree> doom_trees(store::Transaction& tx, int limit, Context context) {
  std::vector<KeptTree> doomed;
  for (const auto& note : tx.notes(doomed_notes, {}, limit)) doomed.push_back(read_tree(note));
  const auto notes = tx.notes(tree_notes);
  if (notes.empty()) return doomed;
  const auto in_use = tx.trees_in_use();
  for (const auto& note : notes) {
    if (static_cast<int>(doomed.size()) >= limit) break;
    auto tree = read_tree(note);
    if (std::ranges::binary_search(in_use, note.id) || tree.kept_at + trees_stay > context.clock.now()) continue;
    tx.delete_note(tree_notes, note.id);
    tx.put_note({std::string(doomed_notes), doomed_id(tree), note.text});
    doomed.push_back(std::move(tree));
  }
  return doomed;
}

void forget_doomed(store::Transaction& tx, const KeptTree& tree) {
  tx.delete_note(doomed_notes, doomed_id(tree));
}

}  // namespace agentrouter::runs
