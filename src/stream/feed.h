#pragma once
// What one subscriber has got and what waits for it. Knows nothing of time or threads.

#include <deque>

#include "stream/hub.h"

namespace agentrouter::stream {

// completed, failed or cancelled: the last event of a run.
[[nodiscard]] bool is_terminal_type(std::string_view type);

// Two sources in order: a page read from the store, then a bounded tail of what was committed since. Where
// the tail does not go on from the cursor, the store must be read: that is the whole repair of every gap.
class Backlog {
 public:
  Backlog(model::Seq after, const HubOptions& options) : cursor_(after), options_(options) {}

  // The hub was told of this event.
  void offer(const Frame& frame, bool terminal);
  // A page that was read after cursor(). `last`: the store had nothing behind it at that moment.
  void add_page(const std::vector<model::Event>& events, bool last);
  void end() { ended_ = true; }
  // The run has ended or was deleted. Who has nothing more to come reads the store again to learn which.
  void run_is_over();
  // The hub was not told of everything: the store is read again.
  void missed() { opened_ = false; }

  [[nodiscard]] bool must_read() const;
  // Frames that follow the cursor; moves it.
  [[nodiscard]] Batch take();
  [[nodiscard]] model::Seq cursor() const { return cursor_; }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] std::size_t queued_bytes() const { return tail_bytes_; }

 private:
  struct Item {
    Frame frame;
    bool terminal = false;
  };
  void drop_tail();
  Item* next();

  model::Seq cursor_;
  const HubOptions& options_;
  std::deque<Item> page_;
  std::deque<Item> tail_;
  std::size_t tail_bytes_ = 0;
  model::Seq known_ = 0;  // the highest sequence that was offered
  bool opened_ = false;   // the store was once read to its end
  bool ended_ = false;
};

}  // namespace agentrouter::stream
