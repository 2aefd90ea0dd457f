#include "workspace/sink.h"

#include "base/fd.h"

namespace agentrouter::workspace {

namespace {
constexpr std::size_t piece = 64 * 1024;
}

void Sink::append(std::string_view bytes) {
  hash_.update(bytes);
  bytes_ += bytes.size();
  if (pending_.size() + bytes.size() > piece) flush();
  if (bytes.size() < piece) {
    pending_ += bytes;
  } else if (state_) {
    state_ = put(bytes);
  }
}

base::Result<void> Sink::put(std::string_view bytes) const {
  return take_ ? take_(bytes) : base::write_all(fd_, bytes);
}

void Sink::flush() {
  if (state_ && !pending_.empty()) state_ = put(pending_);
  pending_.clear();
}

base::Result<void> Sink::finish() {
  flush();
  return state_;
}

}  // namespace agentrouter::workspace
