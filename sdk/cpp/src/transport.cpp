#include "transport.hpp"

#include <algorithm>
#include <random>

#include "steady.hpp"

namespace agentrouter::detail {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t max_reply = 64u << 20;
constexpr std::size_t max_error_body = 1u << 20;
constexpr std::size_t max_idle_channels = 16;

milliseconds until(SteadyTime time) {
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(time - now()));
}

bool is_line(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

bool may_pass(int status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}

void throw_if_stopped(const std::stop_token& stop) {
  if (stop.stop_requested()) throw Error("cancelled", "the call was cancelled");
}

}  // namespace

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '~' || (c == '.' && text != "." && text != "..");
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

Error reply_error(int status, std::string_view body) {
  Json error;
  try {
    error = Json::parse(body)["error"];
  } catch (const Error&) {  // a proxy's page, or nothing
  }
  auto code = std::string(error["code"].as_string("api_error"));
  auto message = std::string(
      error["message"].as_string("the server answered " + std::to_string(status) + " without saying why"));
  const auto& details = error["details"];
  return Error(std::move(code), std::move(message), details.is_object() ? details : Json(), status);
}

Error wait_timeout(const Run& run) {
  const std::string status(to_string(run.status));
  return Error("wait_timeout", "the run " + run.id + " is still " + status + " after the time that was given",
               Json::object({{"runId", run.id}, {"status", status}}));
}

Backoff::Backoff(milliseconds first, milliseconds most) : first_(first), most_(most) {}

milliseconds Backoff::next(milliseconds at_least) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  const auto full = std::min(most_, first_ * (1 << std::min(failures_++, 10)));
  const auto cut = std::uniform_int_distribution<milliseconds::rep>(0, full.count() / 2)(random);
  return std::max(full - milliseconds(cut), at_least);
}

// What one call needs to remember over its attempts.
struct Transport::Attempt {
  const Sink* sink = nullptr;  // null: collect in `body`
  Repeat repeat = Repeat::never;
  std::string body;
  bool delivered = false;  // the sink has been given something
  std::optional<Error> error;
  milliseconds at_least{0};  // the server's Retry-After
};

Transport::Transport(ClientOptions options) : options_(std::move(options)) {
  while (options_.base_url.ends_with('/')) options_.base_url.pop_back();
  if (!options_.base_url.starts_with("http://") && !options_.base_url.starts_with("https://")) {
    throw Error("invalid_argument", "the base URL must begin with http:// or https://");
  }
  bool lines = is_line(options_.base_url) && is_line(options_.api_key) && is_line(options_.proxy) &&
               is_line(options_.workspace_id);
  for (const auto& [name, value] : options_.headers) lines = lines && is_line(name) && is_line(value);
  if (!lines) throw Error("invalid_argument", "the API key, URL or a header has a line break or NUL in it");
}

HttpRequest Transport::completed(const HttpRequest& request) const {
  HttpRequest result = request;
  const auto names = [](const std::string& line) { return line.substr(0, line.find(':')); };
  const auto add = [&](const std::string& name, const std::string& value) {
    std::erase_if(result.headers, [&](const auto& line) { return names(line) == name; });
    result.headers.push_back(value.empty() ? name + ";" : name + ": " + value);
  };
  if (!options_.api_key.empty()) add("authorization", "Bearer " + options_.api_key);
  if (!options_.workspace_id.empty()) add("x-workspace-id", options_.workspace_id);
  add("user-agent", "agentrouter-cpp/0.1");
  if (result.body) add("content-type", "application/json");
  if (!result.body_file.empty()) add("content-type", "application/octet-stream");
  for (const auto& [name, value] : options_.headers) {
    auto lower = name;
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    add(lower, value);
  }
  for (const auto& line : result.headers) {
    if (!is_line(line)) throw Error("invalid_argument", "a request header has a line break in it");
  }
  return result;
}

std::unique_ptr<Channel> Transport::take_channel() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto channel = std::move(idle_.back());
      idle_.pop_back();
      return channel;
    }
  }
  return std::make_unique<Channel>(options_);
}

void Transport::give_back(std::unique_ptr<Channel> channel) {
  channel->abandon();
  const std::lock_guard lock(mutex_);
  if (idle_.size() < max_idle_channels) idle_.push_back(std::move(channel));
}

// One exchange to its end. True when it succeeded; else `error` is set.
bool Transport::attempt(Channel& channel, const HttpRequest& request, const CallOptions& call,
                        Attempt& attempt) {
  const auto limit = call.timeout.count() > 0 ? call.timeout : options_.timeout;
  auto deadline = now() + limit;
  std::string refusal;
  attempt.body.clear();
  attempt.at_least = {};
  channel.start(options_, request);
  bool running = true;
  std::int64_t sent = 0;
  while (running) {
    throw_if_stopped(call.stop);
    running = channel.drive(until(deadline));
    if (running && !request.body_file.empty() && channel.sent() > std::exchange(sent, channel.sent())) {
      deadline = now() + limit;
    }
    const auto bytes = channel.take_body();
    const bool success = channel.status() >= 200 && channel.status() < 300;
    if (!bytes.empty() && !success) {
      if (refusal.size() < max_error_body) refusal += bytes;
    } else if (!bytes.empty() && attempt.sink) {
      attempt.delivered = true;
      (*attempt.sink)(bytes);
      deadline = now() + limit;
    } else {
      attempt.body += bytes;
      if (attempt.body.size() > max_reply)
        throw Error("response_too_large", "the server's reply is over 64 MiB");
    }
    if (running && now() >= deadline) {
      attempt.error = Error("timeout", "the AgentRouter server did not answer in time");
      return false;
    }
  }
  if (auto failure = channel.failure()) {
    attempt.error = std::move(failure);
    return false;
  }
  if (channel.status() >= 200 && channel.status() < 300) return true;
  if (channel.retry_after()) attempt.at_least = *channel.retry_after();
  attempt.error = reply_error(channel.status(), refusal);
  return false;
}

void Transport::run(const HttpRequest& request, const CallOptions& call, Attempt& state) {
  struct Lease {
    Transport& transport;
    std::unique_ptr<Channel> channel;
    ~Lease() { transport.give_back(std::move(channel)); }
  } lease{*this, take_channel()};
  auto& channel = *lease.channel;
  const std::stop_callback on_stop(call.stop, [&channel] { channel.wake(); });
  const auto whole = completed(request);
  Backoff backoff(milliseconds(250), milliseconds(4'000));
  constexpr milliseconds longest_pause(30'000);
  for (int retries = 0;; ++retries) {
    if (attempt(channel, whole, call, state)) return;
    channel.abandon();
    const auto& error = *state.error;
    const bool again = error.code() == "network_error" || may_pass(error.status());
    if (!again || state.repeat == Repeat::never || state.delivered || retries >= options_.max_retries ||
        state.at_least > longest_pause) {
      throw error;
    }
    const auto resume = now() + backoff.next(state.at_least);
    while (until(resume).count() > 0) {
      throw_if_stopped(call.stop);
      channel.pause(until(resume));
    }
  }
}

std::string Transport::call(const HttpRequest& request, const CallOptions& call, Repeat repeat) {
  Attempt state{.repeat = repeat};
  run(request, call, state);
  return std::move(state.body);
}

void Transport::fetch(const HttpRequest& request, const CallOptions& call, const Sink& sink) {
  Attempt state{.sink = &sink, .repeat = Repeat::safe};
  run(request, call, state);
}

}  // namespace agentrouter::detail
