#include "workspace/patch_writer.h"

#include <algorithm>

#include "workspace/patch.h"

namespace agentrouter::workspace {

namespace {

constexpr std::uint64_t notes_bytes = 1u << 20;  // kept back for naming what is left out

bool load(const ContentSource& source, const std::string& path, const Node& node, std::uint64_t file_bytes,
          Deadline deadline, std::string& content, Side& side) {
  side.node = node;
  if (!node.is_content()) return true;
  if (node.size > file_bytes) {
    auto hash = source.blob(path, node, deadline);
    if (hash) side.blob = std::move(*hash);
    return hash.has_value();
  }
  auto read = source.read(path, node, file_bytes);
  if (!read) return false;
  content = std::move(*read);
  BlobHash hash(content.size());
  hash.update(content);
  side.blob = hash.hex();
  side.content = content;
  return true;
}

}  // namespace

void PatchWriter::leave_out(const Change& change, std::string_view why) {
  truncated_ = true;
  const auto note = omission(change.path, why);
  if (sink_.fits(note.size())) sink_.append(note);
}

bool PatchWriter::has_same_bytes(const Change& change, const ContentSource& before,
                                 const ContentSource& after) const {
  if (change.before.kind != Kind::file || change.before.size != change.after.size) return false;
  const auto a = before.blob(change.path, change.before, deadline_);
  const auto b = a ? after.blob(change.path, change.after, deadline_) : std::nullopt;
  return a && b && *a == *b;
}

void PatchWriter::add(const Change& change, const ContentSource& from, const ContentSource& to) {
  if (!is_applicable(change.path, change.after.kind))
    return leave_out(change, "git does not take such a name");
  std::string old_content, new_content;
  Side before, after;
  if (change.after.kind == Kind::file && change.after.size > limits_.file_bytes) {
    // The mode alone changed: no content is needed, however large.
    if (!has_same_bytes(change, from, to))
      return leave_out(change, "larger than " + std::to_string(limits_.file_bytes) + " bytes");
    before.node = change.before;
    after.node = change.after;
  } else if (!load(from, change.path, change.before, limits_.file_bytes, deadline_, old_content, before)) {
    return leave_out(change, "its former content cannot be read");
  } else if (!load(to, change.path, change.after, limits_.file_bytes, deadline_, new_content, after)) {
    return leave_out(change, "it cannot be read");
  }
  const auto text = file_patch(change.path, before, after);
  const auto reserve = std::min(notes_bytes, limits_.patch_bytes / 8);
  if (!sink_.fits(text.size() + reserve)) return leave_out(change, "the patch is full");
  sink_.append(text);
}

}  // namespace agentrouter::workspace
