#include "stream/feed.h"

#include "stream/sse.h"

namespace agentrouter::stream {

bool is_terminal_type(std::string_view type) {
  return type == "run.completed" || type == "run.failed" || type == "run.cancelled";
}

void Backlog::drop_tail() {
  tail_.clear();
  tail_bytes_ = 0;
}

void Backlog::offer(const Frame& frame, bool terminal) {
  if (ended_ || frame.sequence <= cursor_) return;
  known_ = std::max(known_, frame.sequence);
  if (tail_bytes_ + frame.text->size() > options_.queue_bytes) {
    // Too slow: what it did not take is in the store.
    drop_tail();
    return;
  }
  tail_.push_back({frame, terminal});
  tail_bytes_ += frame.text->size();
}

void Backlog::add_page(const std::vector<model::Event>& events, bool last) {
  for (const auto& event : events) {
    page_.push_back({{event.sequence, std::make_shared<const std::string>(event_frame(event))},
                     is_terminal_type(event.type)});
  }
  opened_ = opened_ || last;
}

void Backlog::run_is_over() {
  if (tail_.empty() && cursor_ >= known_) opened_ = false;
}

bool Backlog::must_read() const {
  if (ended_ || !page_.empty()) return false;
  if (!opened_) return true;
  const auto following = std::find_if(tail_.begin(), tail_.end(),
                                      [&](const Item& item) { return item.frame.sequence > cursor_; });
  return following == tail_.end() ? cursor_ < known_ : following->frame.sequence != cursor_ + 1;
}

Backlog::Item* Backlog::next() {
  if (!page_.empty()) return &page_.front();
  while (!tail_.empty() && tail_.front().frame.sequence <= cursor_) {
    tail_bytes_ -= tail_.front().frame.text->size();
    tail_.pop_front();
  }
  if (tail_.empty() || tail_.front().frame.sequence != cursor_ + 1) return nullptr;
  return &tail_.front();
}

Batch Backlog::take() {
  Batch batch;
  std::size_t bytes = 0;
  while (!ended_) {
    const auto* item = next();
    if (item == nullptr) break;
    if (!batch.frames.empty() && bytes + item->frame.text->size() > options_.batch_bytes) break;
    bytes += item->frame.text->size();
    cursor_ = item->frame.sequence;
    ended_ = item->terminal;
    batch.frames.push_back(item->frame);
    if (!page_.empty()) page_.pop_front();
  }
  if (ended_) {
    page_.clear();
    drop_tail();
  }
  batch.ended = ended_;
  return batch;
}

}  // namespace agentrouter::stream
