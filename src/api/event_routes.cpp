// Routes that give events: in pages, as one batch of frames, and live.

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>

#include "api/call.h"
#include "api/query.h"
#include "runs/queries.h"
#include "stream/sse.h"

namespace agentrouter::api {

namespace {

constexpr std::int64_t any_sequence = 9007199254740991;
constexpr int batch_events = 500;
constexpr std::chrono::milliseconds reconnect_delay{1000};

// The number in Last-Event-ID when it is all digits, however many.
std::optional<std::int64_t> last_event_id(const net::Request& request) {
  const auto text = request.headers.get("Last-Event-ID");
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return lax_integer(text).value_or(any_sequence);
}

bool wants_live(const net::Request& request, Issues& issues) {
  Query query(request, issues);
  const auto follow = query.text("follow");
  return (follow && (*follow == "true" || *follow == "1")) ||
         Accept(request.headers).names("text/event-stream");
}

net::Response stream_head() {
  net::Response head;
  head.headers.add("Content-Type", "text/event-stream; charset=utf-8");
  head.headers.add("Cache-Control", "no-cache, no-transform");
  head.headers.add("X-Accel-Buffering", "no");
  return head;
}

struct Page {
  model::Run run;
  std::vector<model::Event> events;
};

base::Result<Page> read_page(store::Reader& reader, const model::RunId& id, std::int64_t after, int limit) {
  auto run = runs::find_run(reader, id);
  if (!run) return tl::unexpected(run.error());
  return Page{std::move(*run), reader.events(id, after, limit)};
}

std::int64_t after_sequence(const net::Request& request, Issues& issues) {
  Query query(request, issues);
  return query.number("afterSeq", 0, -any_sequence, any_sequence);
}

bool is_shut_out(const base::Result<void>& may) {
  return !may && (may.error().code == base::Code::denied || may.error().code == base::Code::not_found);
}

// At most `heartbeat` from now, and together with those of other followers: one waking for all of them.
base::Deadline next_beat(std::chrono::milliseconds heartbeat) {
  const auto now = base::SteadyClock::now().time_since_epoch();
  const auto grid = std::max(std::chrono::duration_cast<std::chrono::steady_clock::duration>(heartbeat) / 5,
                             std::chrono::steady_clock::duration(1));
  return base::Deadline((now + heartbeat) / grid * grid);
}

}  // namespace

base::Task<void> Api::list_events(Call& call) {
  Issues issues;
  const auto after = after_sequence(call.request(), issues);
  Query query(call.request(), issues);
  const int limit = static_cast<int>(query.number("limit", 100, 1, 500));
  if (!issues.empty()) throw base::Failure(issues.to_error());
  const auto id = call.run();
  const auto page = co_await needs_.store.read_in(call.workspace, [&id, after, limit](store::Reader& reader) {
    return read_page(reader, id, after, limit);
  });
  if (!page) throw base::Failure(page.error());
  std::string body = "{\"items\":[";
  for (const auto& event : page->events)
    body.append(event.sequence == page->events.front().sequence ? "" : ",").append(event.to_wire());
  const auto next = page->events.empty() ? after : page->events.back().sequence;
  co_await call.respond_json(200, body + "],\"nextAfterSeq\":" + std::to_string(next) + "}");
}

base::Task<void> Api::stream_events(Call& call) {
  Issues issues;
  const bool live = wants_live(call.request(), issues);
  if (!issues.empty()) throw base::Failure(issues.to_error());
  return live ? stream_live(call) : stream_batch(call);
}

// The published behaviour: at most 500 events, then the response ends; a heartbeat when there are none.
base::Task<void> Api::stream_batch(Call& call) {
  Issues issues;
  auto after = after_sequence(call.request(), issues);
  if (!call.request().query_value("afterSeq")) after = last_event_id(call.request()).value_or(0);
  if (!issues.empty()) throw base::Failure(issues.to_error());
  const auto id = call.run();
  const auto page = co_await needs_.store.read_in(call.workspace, [&id, after](store::Reader& reader) {
    return read_page(reader, id, after, batch_events);
  });
  if (!page) throw base::Failure(page.error());
  auto response = stream_head();
  for (const auto& event : page->events) response.body += stream::event_frame(event);
  if (page->events.empty()) response.body = stream::heartbeat_frame();
  co_await call.respond(std::move(response));
}

base::Task<void> Api::stream_live(Call& call) {
  Issues issues;
  const auto after =
      std::max(after_sequence(call.request(), issues), last_event_id(call.request()).value_or(0));
  if (!issues.empty()) throw base::Failure(issues.to_error());
  const auto id = call.run();
  const auto page = co_await needs_.store.read_in(
      call.workspace, [&id](store::Reader& reader) { return read_page(reader, id, any_sequence, 1); });
  if (!page) throw base::Failure(page.error());
  if (model::is_terminal(page->run.status) && after >= page->run.last_event_seq) {
    net::Response ended;
    ended.status = 204;
    co_await call.respond(std::move(ended));
    co_return;
  }
  auto* writer = co_await call.exchange.start_stream(call.finished(stream_head()));
  if (!co_await writer->write(stream::retry_frame(reconnect_delay))) co_return;
  const auto subscription = needs_.hub.subscribe(call.run(), after);
  asio::cancellation_signal wake;
  writer->on_end([&wake] { wake.emit(asio::cancellation_type::terminal); });
  const base::Executor executor = co_await base::this_executor;
  auto ask_again = next_beat(options_.heartbeat);
  while (!writer->ended()) {
    stream::Batch batch;
    try {
      batch = co_await asio::co_spawn(executor, subscription->next(next_beat(options_.heartbeat)),
                                      asio::bind_cancellation_slot(wake.slot(), base::use_task));
      if (base::passed(ask_again)) {
        // Who comes again is told why. While the store is away nobody is shut out.
        if (is_shut_out(co_await key_watch_.check(call.caller, call.workspace))) break;
        ask_again = next_beat(options_.heartbeat);
      }
    } catch (const boost::system::system_error&) {
      break;  // the peer has gone or the server is stopping
    } catch (const base::Failure&) {
      break;  // the store is away: the client resumes by Last-Event-ID
    }
    std::string text;
    for (const auto& frame : batch.frames) text += *frame.text;
    if (text.empty() && !batch.ended) text = stream::keep_alive_frame();
    if (!text.empty() && !co_await writer->write(text)) break;
    if (batch.ended) break;
  }
  writer->on_end([] {});
}

}  // namespace agentrouter::api
