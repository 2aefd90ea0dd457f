#include "worker/shared_trees.h"

#include <unistd.h>

#include <cerrno>
#include <limits>

#include "worker/worker.h"

namespace agentrouter::worker {

using Held = base::Result<workspace::Trees::Held>;

std::string tree_key(const std::string& name, base::Entropy& entropy) {
  return "trees/" + name + "/" + base::new_uuid(entropy);
}

workspace::UnpackLimits git_unpack_limits(const GitConfig& git) {
  return {.entries = 2 * git.max_entries,
          .bytes = 2 * git.max_bytes,
          .depth = 512,
          .path_bytes = 4095,
          .wall_time = git.timeout,
          .links = workspace::LinkRule::any};
}

base::Task<Held> SharedTrees::get(std::string name, std::string label) {
  auto held = co_await needs_.pool.run([this, &name] { return needs_.trees.find(name); });
  if (held) co_return held;
  auto kept = co_await needs_.store.read([&name](store::Reader& reader) { return runs::kept_tree(reader, name); });
  if (!kept) co_return held;
  co_return co_await make(std::move(*kept), std::move(label));
}

base::Task<Held> SharedTrees::get_any(std::string prefix, std::string label) {
  auto held = co_await needs_.pool.run([this, &prefix] { return needs_.trees.find_any(prefix); });
  if (held) co_return held;
  auto kept = co_await needs_.store.read(
      [&prefix](store::Reader& reader) { return runs::kept_tree_beginning(reader, prefix); });
  if (!kept) co_return held;
  co_return co_await make(std::move(*kept), std::move(label));
}

base::Task<Held> SharedTrees::make(runs::KeptTree kept, std::string label) {
  co_return co_await needs_.pool.run([this, &kept, &label] {
    return needs_.trees.make(kept.name, [&](int into) -> base::Result<workspace::UnpackReport> {
      AGENTROUTER_TRY(const auto parts, open_parts(kept));
      const bool git = kept.source == runs::KeptTree::Source::git;
      return unpack_parts(needs_.unpacker, parts, into, git ? needs_.of_git : needs_.of_upload, label);
    });
  });
}

base::Result<std::vector<TreePart>> SharedTrees::open_parts(const runs::KeptTree& kept) {
  std::vector<TreePart> parts;
  for (const auto& part : kept.parts) {
    AGENTROUTER_TRY(auto blob, needs_.blobs.open(part.key, part.sha256));
    if (auto whole = blobs::check_blob(blob, part.sha256); !whole) return tl::unexpected(std::move(whole).error());
    parts.push_back({part.path, std::move(blob.fd)});
  }
  return parts;
}

base::Result<void> SharedTrees::store_parts(runs::KeptTree& kept, const std::vector<TreePart>& parts) {
  for (const auto& part : parts) {
    if (::lseek(part.archive.get(), 0, SEEK_SET) != 0) return base::fail_errno("cannot read an archive again", errno);
    auto key = tree_key(kept.name, needs_.entropy);
    AGENTROUTER_TRY(const auto info,
                    needs_.blobs.put_from(key, part.archive.get(), std::numeric_limits<std::int64_t>::max()));
    kept.parts.push_back({part.path, std::move(key), info.sha256});
  }
  return {};
}

base::Task<base::Result<void>> SharedTrees::keep(std::string name, runs::KeptTree::Source source,
                                                 const std::vector<TreePart>& parts) {
  const auto before =
      co_await needs_.store.read([&name](store::Reader& reader) { return runs::kept_tree(reader, name); });
  if (before) co_return base::Result<void>();
  runs::KeptTree kept{.name = std::move(name), .source = source, .parts = {}, .kept_at = needs_.clock.now()};
  auto stored = co_await needs_.pool.run([&]() -> base::Result<void> {
    try {
      return store_parts(kept, parts);
    } catch (const base::Failure& failure) {
      return tl::unexpected(failure.error());
    }
  });
  bool mine = false;
  if (stored) {
    mine = co_await needs_.store.write([&kept](store::Transaction& tx) { return runs::keep_tree(tx, kept); });
  }
  if (!mine) {
    co_await needs_.pool.run([&] {
      for (const auto& part : kept.parts) needs_.blobs.remove(part.key);
    });
  }
  co_return stored;
}

}  // namespace agentrouter::worker
