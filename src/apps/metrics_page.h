#pragma once
// GET /metrics in Prometheus' text, on a listener of its own: no key, no tenant's data, nothing that grows with runs,
// keys or workspaces. What is in the store is read when somebody asks.

#include <atomic>
#include <map>
#include <string>

#include "base/figures.h"
#include "net/exchange.h"
#include "runs/nodes.h"
#include "store/store.h"
#include "stream/hub.h"

namespace agentrouter::apps {

// Counts what it is told of, from its making on. The listener's calls come from any thread.
class Figures final : public store::CommitListener {
 public:
  explicit Figures(store::Store& store);
  ~Figures() override;

  // On the executor.
  void answered(std::string_view route, int status);
  void claimed(std::chrono::milliseconds waited);

  void committed(std::shared_ptr<const std::vector<model::Event>> events) override;
  void run_changed(const model::RunId&, model::RunStatus) override {}

  [[nodiscard]] std::uint64_t events() const { return events_; }
  [[nodiscard]] const std::map<std::pair<std::string, int>, std::uint64_t>& answers() const { return answers_; }
  [[nodiscard]] base::Histogram::Seen waits() const { return waits_.seen(); }

 private:
  store::Store& store_;
  std::atomic<std::uint64_t> events_{0};
  std::map<std::pair<std::string, int>, std::uint64_t> answers_;  // by route and hundreds of the status
  base::Histogram waits_{{0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600}};
};

class MetricsPage final : public net::Handler {
 public:
  // Everything outlives it.
  struct Needs {
    store::Store& store;
    stream::Hub& hub;
    const Figures& figures;
    const base::Clock& clock;
    std::string node;  // this one's id
    std::string role;
    std::function<std::size_t()> in_flight;
    std::function<int()> used;  // runs that are carried out here now
  };
  explicit MetricsPage(Needs needs) : needs_(std::move(needs)) {}

  base::Task<void> handle(net::Exchange& exchange) override;
  // What does not fit HTTP.
  [[nodiscard]] static net::Response error_reply(int status, std::string_view message);

 private:
  struct State {
    std::vector<store::Lane> lanes;
    std::vector<runs::Node> nodes;
    std::optional<base::Time> oldest;
  };
  base::Task<std::string> page();
  void of_store(base::FigureText& text, const State& state) const;
  void of_nodes(base::FigureText& text, const State& state) const;
  void of_process(base::FigureText& text) const;

  Needs needs_;
};

}  // namespace agentrouter::apps
