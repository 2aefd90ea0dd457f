#include "workspace/stack.h"

#include <fcntl.h>

#include <algorithm>
#include <iterator>

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Fd;
using base::Result;

namespace {

// "a/b/c" as "a/b" and "c".
std::pair<std::string, std::string> parent_and_name(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {std::string(), path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

tl::unexpected<base::Error> no_such_path(const std::string& path) {
  return fail(Code::not_found, "there is no " + path);
}

}  // namespace

bool Stack::put(Folder layer) {
  closed_ = layer.is_opaque();
  layers_.push_back(std::move(layer));
  return !closed_;
}

Stack Stack::of(const std::vector<int>& layers) {
  Stack stack;
  for (const int fd : layers) {
    auto layer = Folder::root(fd);
    if (layer && !stack.put(std::move(layer))) break;
  }
  return stack;
}

Stack Stack::numbered(int fd) {
  Stack stack;
  for (unsigned number = 0; fd >= 0; ++number) {
    const auto name = std::to_string(number);
    const Fd folder(::openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder || !stack.put(Folder::root(folder.get()))) break;
  }
  return stack;
}

Stack Stack::again() const {
  Stack stack;
  for (const auto& layer : layers_) {
    auto opened = layer.open(".");
    if (!opened || !*opened) return {};
    stack.layers_.push_back(std::move(*opened));
  }
  stack.closed_ = closed_;
  return stack;
}

Stack Stack::earlier() const {
  Stack stack;
  for (std::size_t i = 1; i < layers_.size(); ++i) {
    auto opened = layers_[i].open(".");
    if (!opened || !*opened) return {};
    if (!stack.put(std::move(*opened))) break;
  }
  return stack;
}

const Folder* Stack::find(const std::string& name) const {
  const auto found = std::find_if(layers_.begin(), layers_.end(),
                                  [&](const Folder& layer) { return layer.stat(name).kind != Kind::absent; });
  return found == layers_.end() ? nullptr : &*found;
}

Node Stack::stat(const std::string& name) const {
  const auto* layer = find(name);
  return layer ? layer->stat(name) : Node();
}

std::optional<struct ::stat> Stack::attributes(const std::string& path) const {
  if (layers_.empty()) return std::nullopt;
  if (path.empty()) return layers_.front().attributes({});
  const auto [parent, name] = parent_and_name(path);
  if (!parent.empty()) {
    const auto folder = open(parent);
    return folder && *folder ? folder->attributes(name) : std::nullopt;
  }
  const auto* layer = find(name);
  return layer ? layer->attributes(name) : std::nullopt;
}

Result<Stack> Stack::enter(const std::string& name) const {
  Stack inner;
  for (const auto& layer : layers_) {
    const auto kind = layer.stat(name).kind;
    if (kind == Kind::absent) continue;
    Folder folder;
    if (kind == Kind::folder) {
      AGENTROUTER_TRY(folder, layer.open(name));
    }
    if (!folder) {
      // What is below this one is hidden from the folders above it.
      inner.closed_ = true;
      break;
    }
    if (!inner.put(std::move(folder))) break;
  }
  return inner.layers_.empty() ? Stack() : std::move(inner);
}

Result<Stack> Stack::open(const std::string& path) const {
  std::string_view rest = path;
  Stack at;
  for (bool first = true;; first = false) {
    const auto slash = rest.find('/');
    const std::string name(rest.substr(0, slash));
    AGENTROUTER_TRY(auto inner, (first ? *this : at).enter(name));
    at = std::move(inner);
    if (!at || slash == std::string_view::npos) return at;
    rest.remove_prefix(slash + 1);
  }
}

Result<Fd> Stack::open_file(const std::string& path) const {
  const auto [parent, name] = parent_and_name(path);
  if (!parent.empty()) {
    AGENTROUTER_TRY(const auto folder, open(parent));
    return folder.open_file(name);
  }
  const auto* layer = find(name);
  if (!layer) return no_such_path(path);
  return layer->open_file(name);
}

Result<std::string> Stack::read(const std::string& path, Kind kind, std::uint64_t max_bytes) const {
  const auto [parent, name] = parent_and_name(path);
  if (!parent.empty()) {
    AGENTROUTER_TRY(const auto folder, open(parent));
    return folder.read(name, kind, max_bytes);
  }
  const auto* layer = find(name);
  if (!layer) return no_such_path(path);
  return layer->read(name, kind, max_bytes);
}

Result<std::vector<std::string>> Stack::names(std::uint64_t max_names) const {
  std::vector<std::string> all;
  for (const auto& layer : layers_) {
    AGENTROUTER_TRY(auto here, layer.names(max_names));
    if (all.empty()) {
      all = std::move(here);
      continue;
    }
    std::vector<std::string> both;
    std::set_union(all.begin(), all.end(), here.begin(), here.end(), std::back_inserter(both));
    all = std::move(both);
    if (all.size() > max_names) return fail(Code::exhausted, "a folder has too many entries");
  }
  return all;
}

}  // namespace agentrouter::workspace
