#pragma once
// Places of which there are few, and who has them: somebody gets one more only while they have fewer than are
// free. So one alone gets half of them, the next one half of the rest, and so on: nobody takes all, whatever
// they do.

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace agentrouter::base {

// Of one thread. Outlives its places.
class Shares {
 public:
  explicit Shares(std::size_t places) : free_(places) {}
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  // One place, as long as it lives.
  class Place {
   public:
    Place(Place&& other) noexcept : shares_(std::exchange(other.shares_, nullptr)), owner_(other.owner_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (shares_ != nullptr) shares_->give_back(owner_);
    }

   private:
    friend class Shares;
    using Owner = std::map<std::string, std::size_t, std::less<>>::iterator;
    Place(Shares& shares, Owner owner) : shares_(&shares), owner_(owner) {}
    Shares* shares_;
    Owner owner_;
  };
  // None: `owner` has as many as there are left, or there are none left.
  [[nodiscard]] std::optional<Place> take(std::string_view owner);

 private:
  void give_back(Place::Owner owner);

  std::size_t free_;
  std::map<std::string, std::size_t, std::less<>> held_;
};

}  // namespace agentrouter::base
