#pragma once
// Feeds any number of subscribers, each from any sequence number and at its own pace, without gap or
// duplicate. A subscriber first reads the store, then takes what the hub was told of commits; when it falls
// behind, the hub forgets what it could not take and the subscriber reads the store again. Nothing polls.
//
// One hub per io executor. Everything but the CommitListener's calls belongs to that executor's thread.

#include <atomic>
#include <memory>
#include <vector>

#include "base/event.h"
#include "store/store.h"

namespace agentrouter::stream {

struct Frame {
  model::Seq sequence = 0;
  std::shared_ptr<const std::string> text;  // one SSE frame, shared between subscribers
};

struct Batch {
  std::vector<Frame> frames;  // empty: the deadline passed
  bool ended = false;         // the terminal event has been given: nothing will follow
};

inline constexpr std::size_t subscriber_queue_bytes = 256u << 10;

struct HubOptions {
  std::size_t queue_bytes = subscriber_queue_bytes;  // frames that wait for one subscriber
  std::size_t batch_bytes = 64u << 10;               // given by one next(), but at least one frame
  int page_events = 64;                              // read from the store at once
};

class Feed;

// One follower of one run. Destroying it ends the following; not while next() is waited for.
class Subscription {
 public:
  explicit Subscription(std::unique_ptr<Feed> feed);  // by Hub::subscribe
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  // The next events in order, as many as there are up to the batch limit. Waits for the first one, at most
  // until `deadline`. After `ended`, it gives empty ended batches. An unknown run is ended at once.
  //
  // Throws Failure(unavailable) when the store cannot be read; calling again goes on at the same place.
  // Throws operation_aborted when the task is cancelled; nothing is lost for a next call.
  base::Task<Batch> next(base::Deadline deadline);

  // The sequence of the last event given.
  [[nodiscard]] model::Seq cursor() const;

 private:
  std::unique_ptr<Feed> feed_;
};

class HubState;

class Hub final : public store::CommitListener {
 public:
  // Listens to `store`, which must outlive the hub.
  Hub(base::Executor executor, store::Store& store, HubOptions options = {});
  ~Hub() override;
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // Gives the events of `run` with a sequence > `after`. May outlive the hub only to be destroyed.
  [[nodiscard]] std::unique_ptr<Subscription> subscribe(model::RunId run, model::Seq after);
  [[nodiscard]] std::size_t subscribers() const;

  // How many questions (approval.requested) of any run were committed so far.
  [[nodiscard]] std::uint64_t questions() const;
  // Resumes when that is no longer `seen`, or at the deadline. Read questions() before the store: then no
  // question falls between. Throws operation_aborted when the task is cancelled.
  base::Task<void> question_after(std::uint64_t seen, base::Deadline deadline);
  // The program is stopping: nobody waits for a question any more.
  void end_waits();
  [[nodiscard]] bool stopping() const;

  // Any thread.
  void committed(std::shared_ptr<const std::vector<model::Event>> events) override;
  void run_changed(const model::RunId& run, model::RunStatus status) override;
  void missed() override;

 private:
  store::Store& store_;
  std::shared_ptr<HubState> state_;
};

}  // namespace agentrouter::stream
