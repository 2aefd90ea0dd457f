#pragma once
// A folder as an overlay shows it, from its two layers: an upper one (a folder on the disk, or one of an
// archive) over the base. Nothing is followed.

#include <algorithm>

#include "workspace/layer.h"

namespace agentrouter::workspace {

enum class From { upper, base };

template <class Upper>
class Merged {
 public:
  Merged(Upper upper, Folder base) : upper_(std::move(upper)), base_(std::move(base)) {
    if (upper_.is_opaque()) base_ = Folder();
  }

  [[nodiscard]] const Upper& upper() const { return upper_; }
  // What shows through, if anything does.
  [[nodiscard]] const Folder& base() const { return base_; }

  struct Found {
    Node node;  // absent also where the upper layer says so
    From from = From::base;
  };
  [[nodiscard]] Found stat(const std::string& name) const {
    const auto above = upper_.stat(name);
    if (above.kind == Kind::whiteout) return {};
    if (above.kind != Kind::absent) return {above, From::upper};
    const auto below = base_.stat(name);
    return {below.kind == Kind::whiteout ? Node() : below, From::base};
  }

  // None when it is absent or no folder. Errors: that of open(2).
  [[nodiscard]] base::Result<std::optional<Merged>> open(const std::string& name) const {
    const auto above = upper_.stat(name);
    if (above.kind != Kind::absent && above.kind != Kind::folder) return std::optional<Merged>();
    AGENTROUTER_TRY(Upper upper, upper_.open(name));
    const bool below = base_.stat(name).kind == Kind::folder;
    Folder base;
    if (below) {
      AGENTROUTER_TRY(base, base_.open(name));
    }
    if (!upper && !base) return std::optional<Merged>();
    return std::optional<Merged>(Merged(std::move(upper), std::move(base)));
  }

  // In byte order, without what the upper layer deletes. Errors: as Folder::names().
  [[nodiscard]] base::Result<std::vector<std::string>> names(std::uint64_t max_names) const {
    AGENTROUTER_TRY(auto above, upper_.names(max_names));
    AGENTROUTER_TRY(auto below, base_.names(max_names));
    std::vector<std::string> all;
    std::set_union(above.begin(), above.end(), below.begin(), below.end(), std::back_inserter(all));
    std::erase_if(all, [&](const auto& name) { return upper_.stat(name).kind == Kind::whiteout; });
    return all;
  }

 private:
  Upper upper_;
  Folder base_;
};

}  // namespace agentrouter::workspace
