#include "egress/front.h"

#include <algorithm>

#include "base/json.h"
#include "base/utf8.h"
#include "egress/own_request.h"
#include "egress/retry_after.h"
#include "egress/usage.h"
#include "sim/simulator.h"

namespace agentrouter::egress {

using base::Code;

namespace {

constexpr std::size_t head_bytes = 32 * 1024;
constexpr std::uint64_t simulated_body_bytes = 16ull << 20;
constexpr std::uint64_t metered_body_bytes = 32ull << 20;
// So many bodies may be on their way to being held as a whole.
constexpr std::size_t bodies_at_once = 16;
constexpr std::string_view simulated_authorization = "Bearer sim";

net::ServerOptions options_of(const Config& config) {
  net::ServerOptions options;
  options.max_connections = config.max_connections;
  options.head_bytes = head_bytes;
  options.body_bytes = config.request_bytes;
  options.body_timeout = config.idle_timeout;
  return options;
}

std::string_view trouble_reason(const base::Error& error) {
  if (!error.reason.empty()) return error.reason;
  if (error.code == Code::timeout) return "provider_timeout";
  if (error.code == Code::denied) return "provider_certificate";
  if (error.code == Code::invalid || error.code == Code::exhausted) return "provider_answer_invalid";
  return "provider_unavailable";
}

net::Response models_response(const std::vector<std::string>& models) {
  json::array list;
  for (const auto& model : models) {
    list.push_back(
        json::object{{"id", model}, {"object", "model"}, {"created", 0}, {"owned_by", "provider"}});
  }
  net::Response response;
  response.headers.add("content-type", "application/json");
  // `models` is what Codex looks for; an empty list leaves it with what it knows.
  response.body = base::to_text(json::object{{"object", "list"}, {"data", list}, {"models", json::array()}});
  return response;
}

}  // namespace

// The record of one request, reported when the request ends in whatever way.
class Egress::Front::Tally {
 public:
  Tally(Front& front, const net::Request& request) : front_(front) {
    record.host = base::to_utf8(request.headers.get("host"));
    record.method = shown(request.method, 32);
    record.path = base::to_utf8(request.path);
  }
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;
  ~Tally() {
    record.duration =
        std::chrono::duration_cast<std::chrono::milliseconds>(base::SteadyClock::now() - begin_);
    if (record.decision == Decision::denied) {
      front_.report_denial(record);
    } else {
      front_.observer_.on_request_done(record);
    }
  }

  RequestRecord record;

 private:
  Front& front_;
  base::Deadline begin_ = base::SteadyClock::now();
};

Egress::Front::Front(base::Executor executor, Config config, Observer& observer)
    : config_(std::move(config)),
      observer_(observer),
      departure_(executor, observer),
      server_(
          executor, *this,
          [this](const net::ServerError& error) {
            return refuse_broken(error.status, error.code, error.message);
          },
          options_of(config_)) {
  if (config_.openai) openai_.emplace(Credential::Scheme::bearer, *config_.openai->key);
  if (config_.anthropic) anthropic_.emplace(Credential::Scheme::api_key, *config_.anthropic->key);
  for (const auto& upstream : config_.mcp) {
    std::vector<std::string> added;
    for (const auto& field : upstream.headers) added.push_back(field.name);
    std::vector<Credential::Field> fields;
    for (const auto& field : upstream.headers) fields.push_back({field.name, field.value});
    mcp_.push_back({upstream, std::move(added), Credential(fields)});
  }
}

Task<void> Egress::Front::handle(net::Exchange& exchange) {
  Tally tally(*this, exchange.request());
  const auto route = route_of(exchange.request(), config_.authorities);
  co_await serve_route(exchange, route, tally.record);
}

Task<void> Egress::Front::serve_route(net::Exchange& exchange, const Route& route, RequestRecord& record) {
  if (route.destination == Destination::refused) {
    co_await deny(exchange, route.status, route.reason, route.message, record);
  } else if (route.destination == Destination::models) {
    record.decision = Decision::answered;
    record.status = 200;
    auto response = models_response(config_.models);
    record.bytes_in = response.body.size();
    co_await exchange.respond(std::move(response));
  } else if (total_bytes_ >= config_.total_bytes) {
    co_await deny(exchange, 403, "egress_limit", "this run has used up its traffic", record);
  } else if (route.destination == Destination::mcp) {
    co_await forward_to_mcp(exchange, route.mcp_server, record);
  } else if (config_.simulator != nullptr || config_.player != nullptr) {
    co_await simulate(exchange, record);
  } else {
    co_await forward_to(exchange, route.destination, record);
  }
}

Task<void> Egress::Front::forward_to(net::Exchange& exchange, Destination destination,
                                     RequestRecord& record) {
  const bool to_openai = destination == Destination::openai;
  const auto& upstream = to_openai ? config_.openai : config_.anthropic;
  if (!upstream || (upstream->base.scheme == net::Scheme::https && config_.tls == nullptr)) {
    co_await deny(exchange, 403, "provider_unconfigured", "this run has no such model provider", record);
    co_return;
  }
  auto body = co_await body_for_provider(exchange, record);
  if (!body) co_return;
  const base::Counted open(open_forwards_);
  Meter metering;
  const bool admitted = co_await admit(exchange, body->first, record, metering);
  if (!admitted) co_return;
  const bool permitted = co_await permit(exchange, record);
  if (!permitted) co_return;
  record.host = upstream->base.authority();
  const auto take = take_of(exchange.request().method, exchange.request().path, body->first);
  const auto& credential = to_openai ? *openai_ : *anthropic_;
  const auto& url = upstream->base;
  Forward context{.limits = limits_of(config_),
                  .connect = [this, &url] { return connect_to(url, config_.tls, base::after(config_.connect_timeout)); },
                  .credential = &credential,
                  .head = upstream_head(exchange.request(), upstream->base, body->size),
                  .peer = Peer::provider,
                  .record = record,
                  .total_bytes = total_bytes_,
                  .metering = metering.get(),
                  .tools = config_.tools ? &*config_.tools : nullptr,
                  .take = take.get()};
  co_await forward(std::move(context), exchange, std::move(body->first));
  if (metering && record.status < 300) record.belief = metering->settlement().belief;
}

Task<Result<Egress::Front::Meter>> Egress::Front::meter(const net::Request& request, std::string_view body) {
  auto* const spending = config_.spending;
  if (spending == nullptr || !spending->reads_bodies()) co_return Meter();
  auto facts = read_request(request.path, request.headers, body);
  if (!facts && !spending->binds()) co_return Meter();
  if (!facts) co_return tl::unexpected(std::move(facts).error());
  co_return co_await spending->admit(std::move(*facts));
}

Task<bool> Egress::Front::admit(net::Exchange& exchange, std::string_view body, RequestRecord& record,
                                Meter& meter) {
  auto admitted = co_await this->meter(exchange.request(), body);
  if (admitted) {
    meter = std::move(*admitted);
    co_return true;
  }
  const auto error = std::move(admitted).error();
  const int status = error.code == Code::invalid ? 400 : 403;
  co_await deny(exchange, status, error.reason, error.message, record);
  co_return false;
}

Task<std::optional<std::string>> Egress::Front::whole_body(net::Exchange& exchange, std::uint64_t most,
                                                           RequestRecord& record) {
  if (reading_ >= bodies_at_once) {
    co_await deny(exchange, 503, "held", "too many requests come at once", record);
    co_return std::nullopt;
  }
  const base::Counted reading(reading_);
  exchange.limit_body(std::min(config_.request_bytes, most));
  auto body = co_await exchange.read_body();
  if (body) co_return std::move(*body);
  const auto error = std::move(body).error();
  co_await deny(exchange, net::status_of_body_error(error), "request_body", error.message, record);
  co_return std::nullopt;
}

Task<std::optional<Egress::Front::Body>> Egress::Front::body_for_provider(net::Exchange& exchange,
                                                                          RequestRecord& record) {
  const bool counted = config_.spending != nullptr && config_.spending->reads_bodies();
  if (config_.tools || counted || config_.recorder != nullptr) {
    auto whole = co_await whole_body(exchange, metered_body_bytes, record);
    if (!whole) co_return std::nullopt;
    if (!config_.tools) co_return Body{std::move(*whole), std::nullopt};
    auto offered = offer_only(*config_.tools, std::move(*whole));
    if (!offered) {
      co_await deny(exchange, 400, "request_body", offered.error().message, record);
      co_return std::nullopt;
    }
    const auto size = offered->size();
    co_return Body{std::move(*offered), size};
  }
  auto first = co_await exchange.read_some();
  if (first) co_return Body{std::move(*first), std::nullopt};
  const auto error = std::move(first).error();
  co_await deny(exchange, net::status_of_body_error(error), "request_body", error.message, record);
  co_return std::nullopt;
}

Task<void> Egress::Front::simulate(net::Exchange& exchange, RequestRecord& record) {
  exchange.limit_body(std::min(config_.request_bytes, simulated_body_bytes));
  auto body = co_await exchange.read_body();
  if (body && config_.tools) body = offer_only(*config_.tools, std::move(*body));
  if (!body) {
    const auto error = std::move(body).error();
    co_await deny(exchange, net::status_of_body_error(error), "request_body", error.message, record);
    co_return;
  }
  const base::Counted open(open_forwards_);
  Meter metering;
  const bool admitted = co_await admit(exchange, *body, record, metering);
  if (!admitted) co_return;
  const bool permitted = co_await permit(exchange, record);
  if (!permitted) co_return;
  if (metering && !metering->leaves()) {
    co_await deny(exchange, 503, "held", "what this request may cost could not be written down", record);
    co_return;
  }
  record.host = config_.player != nullptr ? "replay" : "sim";
  record.bytes_out = body->size();
  total_bytes_ += body->size();
  co_await play(exchange, std::move(*body), record, metering.get());
  if (metering && record.status < 300) record.belief = metering->settlement().belief;
}

Task<void> Egress::Front::play(net::Exchange& exchange, std::string body, RequestRecord& record,
                               Spending::Metering* metering) {
  const auto& request = exchange.request();
  std::vector<sim::Header> headers;
  for (const auto& field : request.headers) {
    if (may_leave(request.headers, field.name)) headers.push_back({field.name, field.value});
  }
  headers.push_back({"authorization", std::string(simulated_authorization)});
  const auto reply = made_answer(request.method, request.target, request.path, headers, body);
  const auto take = take_of(request.method, request.path, body);
  net::Response head;
  head.status = reply.status;
  record.status = reply.status;
  for (const auto& field : reply.headers) head.headers.add(field.name, field.value);
  if (reply.status >= 400) record.retry_after = retry_after_of(head.headers, base::system_clock().now());
  if (take) take->head(reply.status, head.headers);
  UsageMeter meter(UsageMeter::format_of(head.headers.get("content-type")));
  if (!reply.is_event_stream()) head.headers.set("content-length", std::to_string(reply.body_size()));
  auto* writer = co_await exchange.start_stream(std::move(head));
  base::Event left(co_await base::this_executor);
  writer->on_end([&left] { left.notify(); });
  std::optional<CallGuard> guard;
  if (config_.tools && reply.status < 300)
    guard.emplace(*config_.tools,
                  reply.is_event_stream() ? CallGuard::Format::events : CallGuard::Format::document);
  for (const auto& chunk : reply.chunks) {
    const auto deadline = base::SteadyClock::now() + chunk.delay;
    while (!writer->ended() && base::SteadyClock::now() < deadline) {
      std::ignore = co_await left.wait_until(deadline);
    }
    record.bytes_in += chunk.bytes.size();
    total_bytes_ += chunk.bytes.size();
    meter.feed(chunk.bytes);
    if (total_bytes_ > config_.total_bytes) record.reason = "egress_limit";
    if (metering != nullptr && !metering->receives(meter)) record.reason = "limit_exceeded";
    if (!record.reason.empty()) break;
    std::string bytes;
    if (!guard) bytes = chunk.bytes;
    if (guard &&
        (!guard->feed(chunk.bytes, bytes) || (&chunk == &reply.chunks.back() && !guard->finish(bytes)))) {
      record.reason = "ungated_tool_call";
      record.tool = guard->called();
    }
    if (take) take->piece(bytes);
    bool written = false;
    if (!writer->ended()) written = co_await writer->write(bytes);
    if (!written && record.reason.empty()) record.reason = "agent_left";
    if (!record.reason.empty()) break;
  }
  writer->on_end(nullptr);
  if (reply.ending == sim::Ending::cut && record.reason.empty()) record.reason = "provider_unavailable";
  if (!record.reason.empty()) writer->abort();
  if (take && record.reason.empty()) take->finish();
  if (reply.status < 300) record.usage = meter.usage();
  if (metering != nullptr) metering->answered(reply.status, meter.usage());
}

Task<Result<Answer>> Egress::Front::ask(std::string path, std::string body, base::Deadline deadline) {
  net::Request request;
  request.method = "POST";
  request.path = path;
  Tally tally(*this, request);
  tally.record.by_keeper = true;
  if (total_bytes_ >= config_.total_bytes) {
    tally.record.reason = "egress_limit";
    co_return base::fail(Code::exhausted, "this run has used up its traffic", "egress_limit");
  }
  const base::Counted open(open_forwards_);
  auto metering = co_await meter(request, body);
  if (!metering) {
    tally.record.reason = metering.error().reason;
    co_return tl::unexpected(std::move(metering).error());
  }
  auto allowed = co_await departure_.first();
  if (!allowed) co_return tl::unexpected(std::move(allowed).error());
  tally.record.decision = Decision::forwarded;
  if (*metering && !(*metering)->leaves())
    co_return base::fail(Code::unavailable, "what this request may cost could not be written down", "held");
  const bool simulated = config_.simulator != nullptr || config_.player != nullptr;
  auto asked = simulated ? ask_simulator(path, std::move(body), deadline, tally.record)
                         : ask_upstream(path, std::move(body), deadline, tally.record);
  auto answer = co_await std::move(asked);
  total_bytes_ += tally.record.bytes_in + tally.record.bytes_out;
  if (!answer) {
    tally.record.reason = trouble_reason(answer.error());
    // Nobody charges for what did not get there.
    if (*metering && answer.error().code != Code::timeout) (*metering)->answered(502, {});
    co_return answer;
  }
  tally.record.status = answer->status;
  UsageMeter counter(UsageMeter::Format::json);
  if (answer->status < 300) counter.feed(answer->body);
  tally.record.usage = counter.usage();
  if (!*metering) co_return answer;
  std::ignore = (*metering)->receives(counter);
  (*metering)->answered(answer->status, counter.usage());
  if (answer->status < 300) tally.record.belief = (*metering)->settlement().belief;
  co_return answer;
}

Task<Result<Answer>> Egress::Front::ask_upstream(std::string path, std::string body, base::Deadline deadline,
                                                 RequestRecord& record) {
  const bool to_openai = path == "/v1/responses";
  const auto& upstream = to_openai ? config_.openai : config_.anthropic;
  if (!upstream || (upstream->base.scheme == net::Scheme::https && config_.tls == nullptr)) {
    record.decision = Decision::denied;
    co_return base::fail(Code::unsupported, "this run has no such model provider", "provider_unconfigured");
  }
  record.host = upstream->base.authority();
  const auto& credential = to_openai ? *openai_ : *anthropic_;
  const auto take = take_of("POST", path, body);
  auto answer = co_await send_own({config_, *upstream, credential, record}, std::move(path), std::move(body), deadline);
  if (take && answer) {
    take->head(answer->status, {});
    take->piece(answer->body);
    take->finish();
  }
  co_return answer;
}

sim::Reply Egress::Front::made_answer(const std::string& method, const std::string& target, const std::string& path,
                                      const std::vector<sim::Header>& headers, const std::string& body) {
  if (config_.player != nullptr) return config_.player->answer(method, path, body);
  return config_.simulator->handle({method, target, headers, body});
}

std::unique_ptr<CassetteWriter::Take> Egress::Front::take_of(const std::string& method, const std::string& path,
                                                             std::string_view body) {
  return config_.recorder != nullptr ? config_.recorder->begin(method, path, body) : nullptr;
}

Task<Result<Answer>> Egress::Front::ask_simulator(std::string path, std::string body, base::Deadline deadline,
                                                  RequestRecord& record) {
  record.host = config_.player != nullptr ? "replay" : "sim";
  record.bytes_out = body.size();
  const std::vector<sim::Header> headers{{"authorization", std::string(simulated_authorization)}};
  const auto reply = made_answer("POST", path, path, headers, body);
  const auto take = take_of("POST", path, body);
  if (take) take->head(reply.status, {});
  for (const auto& chunk : reply.chunks) {
    const auto until = std::min(deadline, base::after(chunk.delay));
    if (chunk.delay.count() > 0) co_await base::sleep_for(until - base::SteadyClock::now());
    if (base::passed(deadline)) co_return base::fail(Code::timeout, "the provider did not answer in time");
  }
  if (reply.ending == sim::Ending::cut)
    co_return base::fail(Code::unavailable, "the provider closed the connection");
  record.bytes_in = reply.body_size();
  if (take) {
    take->piece(reply.body());
    take->finish();
  }
  co_return Answer{reply.status, reply.body()};
}

Task<void> Egress::Front::deny(net::Exchange& exchange, int status, std::string reason, std::string message,
                               RequestRecord& record) {
  record.decision = Decision::denied;
  record.status = status;
  record.reason = reason;
  co_await exchange.respond(error_response(status, reason, message));
}

Task<bool> Egress::Front::permit(net::Exchange& exchange, RequestRecord& record) {
  auto allowed = co_await departure_.permit();
  if (!allowed) {
    co_await deny(exchange, 503, "held", allowed.error().message, record);
    co_return false;
  }
  record.decision = Decision::forwarded;
  co_return true;
}

// What never becomes a request: broken or ambiguous framing, or one connection too many.
net::Response Egress::Front::refuse_broken(int status, std::string_view code, std::string_view message) {
  RequestRecord record;
  record.status = status;
  record.reason = code;
  report_denial(record);
  return error_response(status, code, message);
}

void Egress::Front::report_denial(const RequestRecord& record) {
  ++denials_;
  if (is_worth_reporting(denials_, config_.denials_reported)) observer_.on_denied(record, denials_);
}

}  // namespace agentrouter::egress
