#pragma once
// How slowly somebody may send or take bytes: they have some time in hand, which waiting for them uses up and
// bytes bring back, never to more than it was. What is waited for other reasons is not counted.

#include <chrono>
#include <cstdint>

namespace agentrouter::base {

class Pace {
 public:
  struct Rule {
    std::chrono::milliseconds in_hand = std::chrono::seconds(60);
    std::uint64_t bytes_per_second = 16 * 1024;  // that use up none of it
  };
  explicit Pace(Rule rule) : rule_(rule), left_(rule.in_hand) {}

  void waited(std::chrono::nanoseconds time) { left_ -= time; }
  void moved(std::uint64_t bytes);
  // What is left of the time in hand; none: they are too slow.
  [[nodiscard]] std::chrono::nanoseconds left() const { return left_; }
  [[nodiscard]] bool is_lost() const { return left_ <= std::chrono::nanoseconds(0); }

 private:
  Rule rule_;
  std::chrono::nanoseconds left_;
};

}  // namespace agentrouter::base
