#include "apps/metrics_page.h"

#include "base/version.h"

namespace agentrouter::apps {

Figures::Figures(store::Store& store) : store_(store) {
  store_.add_listener(this);
}

Figures::~Figures() {
  store_.remove_listener(this);
}

void Figures::answered(std::string_view route, int status) {
  answers_[{std::string(route), status / 100}] += 1;
}

void Figures::claimed(std::chrono::milliseconds waited) {
  waits_.add(std::chrono::duration<double>(std::max(waited, std::chrono::milliseconds(0))).count());
}

void Figures::committed(std::shared_ptr<const std::vector<model::Event>> events) {
  events_ += events->size();
}

namespace {

net::Response text_response(int status, std::string_view type, std::string body) {
  net::Response response;
  response.status = status;
  response.headers.add("Content-Type", std::string(type));
  response.body = std::move(body);
  return response;
}

}  // namespace

net::Response MetricsPage::error_reply(int status, std::string_view message) {
  return text_response(status, "text/plain; charset=utf-8", std::string(message) + "\n");
}

base::Task<void> MetricsPage::handle(net::Exchange& exchange) {
  const auto& request = exchange.request();
  if (request.path != "/metrics") co_return co_await exchange.respond(error_reply(404, "There is only /metrics here"));
  if (request.method != "GET" && !request.is_head())
    co_return co_await exchange.respond(error_reply(405, "Use GET"));
  std::optional<std::string> text;
  try {
    text = co_await page();
  } catch (const base::Failure&) {
    text.reset();
  }
  auto response = text ? text_response(200, "text/plain; version=0.0.4; charset=utf-8", std::move(*text))
                       : error_reply(503, "The store cannot be read");
  co_await exchange.respond(std::move(response));
}

base::Task<std::string> MetricsPage::page() {
  const auto state = co_await needs_.store.read([](store::Reader& reader) {
    return State{reader.lanes(), runs::nodes(reader), reader.oldest_queued()};
  });
  base::FigureText text;
  text.gauge("agentrouter_build_info", "Which build this is; always 1.");
  text.value(1, {{"version", std::string(base::version)}, {"role", needs_.role}});
  of_store(text, state);
  of_nodes(text, state);
  of_process(text);
  co_return text.text();
}

void MetricsPage::of_store(base::FigureText& text, const State& state) const {
  std::int64_t queued = 0, active = 0, unplaceable = 0;
  for (const auto& lane : state.lanes) {
    queued += lane.queued;
    active += lane.active;
    if (lane.queued > 0 && runs::unplaceable(state.nodes, runs::LaneKey::parse(lane.name).needs))
      unplaceable += lane.queued;
  }
  text.gauge("agentrouter_runs_queued", "Runs that wait for a worker, in the whole store.");
  text.value(static_cast<double>(queued));
  text.gauge("agentrouter_runs_unplaceable", "Of these, runs that no worker which is there can carry out.");
  text.value(static_cast<double>(unplaceable));
  text.gauge("agentrouter_runs_active", "Runs that are carried out, in the whole store.");
  text.value(static_cast<double>(active));
  const auto waited = state.oldest ? std::chrono::duration<double>(needs_.clock.now() - *state.oldest).count() : 0.0;
  text.gauge("agentrouter_queue_oldest_wait_seconds", "How long the run has waited that waits for longest.");
  text.value(std::max(waited, 0.0));
}

void MetricsPage::of_nodes(base::FigureText& text, const State& state) const {
  std::map<std::string, int> roles{{"all", 0}, {"api", 0}, {"worker", 0}};
  int slots = 0, used = 0, free = 0, draining = 0, here = 0;
  for (const auto& one : state.nodes) {
    ++roles[one.role];
    slots += one.capacity;
    const int busy = one.id == needs_.node ? needs_.used() : one.used;
    used += busy;
    if (one.draining) ++draining;
    if (one.takes_runs()) free += std::max(one.capacity - busy, 0);
    if (one.id == needs_.node) here = one.draining ? 1 : 0;
  }
  text.gauge("agentrouter_nodes", "Servers of the store that are there, by role.");
  for (const auto& [role, count] : roles) text.value(count, {{"role", role}});
  text.gauge("agentrouter_nodes_draining", "Servers that take no new run.");
  text.value(draining);
  text.gauge("agentrouter_node_draining", "Whether this server takes no new run.");
  text.value(here);
  text.gauge("agentrouter_slots", "Runs that all workers together carry out at the same time.");
  text.value(slots, {{"state", "all"}});
  text.value(used, {{"state", "used"}});
  text.value(free, {{"state", "free"}});
}

void MetricsPage::of_process(base::FigureText& text) const {
  const auto& figures = needs_.figures;
  text.histogram("agentrouter_claim_wait_seconds", "How long runs had waited that this server took.");
  text.values(figures.waits());
  text.counter("agentrouter_events_total", "Events of commits that this server has heard of.");
  text.value(static_cast<double>(figures.events()));
  text.counter("agentrouter_http_requests_total", "Requests that this server has answered, by route and status.");
  for (const auto& [key, count] : figures.answers())
    text.value(static_cast<double>(count), {{"route", key.first}, {"status", std::to_string(key.second) + "xx"}});
  text.gauge("agentrouter_http_requests_in_flight", "Requests that are being answered, live streams among them.");
  text.value(static_cast<double>(needs_.in_flight()));
  text.gauge("agentrouter_stream_subscribers", "Followers of live streams here.");
  text.value(static_cast<double>(needs_.hub.subscribers()));
  text.histogram("agentrouter_store_write_seconds", "How long this server's writes took until they were durable.");
  text.values(needs_.store.figures().seconds.seen());
  text.histogram("agentrouter_store_batch_writes", "How many writes of this server shared a commit.");
  text.values(needs_.store.figures().batches.seen());
  const auto waiting = needs_.store.waiting();
  text.gauge("agentrouter_store_waiting_calls", "Calls that wait for the store here.");
  text.value(static_cast<double>(waiting.writes), {{"kind", "write"}});
  text.value(static_cast<double>(waiting.reads), {{"kind", "read"}});
}

}  // namespace agentrouter::apps
