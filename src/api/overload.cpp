#include "api/overload.h"

#include "base/json.h"

namespace agentrouter::api {

namespace {

tl::unexpected<base::Error> overloaded(std::string_view what, const std::string& message, int seconds) {
  return base::fail(base::Code::unavailable, message, "overloaded",
                    base::to_text(json::object{{"what", what}, {"retryAfterSeconds", seconds}}));
}

}  // namespace

bool Overload::memory_is_full() {
  if (rules_.max_memory_bytes == 0) return false;
  if (base::passed(look_again_)) {
    full_ = rules_.memory() > rules_.max_memory_bytes;
    look_again_ = base::after(rules_.memory_is_known_for);
  }
  return full_;
}

base::Result<void> Overload::check(Demand demand) {
  if (rules_.max_waiting_calls > 0) {
    const auto waiting = store_.waiting();
    if (std::max(waiting.writes, waiting.reads) >= rules_.max_waiting_calls)
      return overloaded("store", "The server has more to do than it can keep up with", 1);
  }
  if (demand == Demand::more && memory_is_full())
    return overloaded("memory", "The server's memory is full: it takes nothing new on", 5);
  return {};
}

}  // namespace agentrouter::api
