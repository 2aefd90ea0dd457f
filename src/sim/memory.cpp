#include "sim/memory.h"

namespace agentrouter::sim {

bool Memory::fire(const std::string& key) {
  if (!fired_.insert(key).second) return false;
  order_.push_back(key);
  if (order_.size() > capacity) {
    fired_.erase(order_.front());
    order_.pop_front();
  }
  return true;
}

}  // namespace agentrouter::sim
