#include "channel.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <mutex>

namespace agentrouter::detail {
namespace {

using std::chrono::milliseconds;

void initialise_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r' || text.back() == '\n')) {
    text.remove_suffix(1);
  }
  return text;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

// A proxy named in the environment is for the network, not for a server on this machine.
bool is_loopback(std::string_view url) {
  const auto begin = url.find("://");
  auto host = url.substr(begin == std::string_view::npos ? 0 : begin + 3);
  host = host.substr(0, host.find_first_of("/?#"));
  if (const auto at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
  return host.starts_with("127.") || host.starts_with("[::1]") || host == "localhost" ||
         host.starts_with("localhost:");
}

}  // namespace

struct Channel::State {
  CURLM* multi = nullptr;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  std::string request_body;
  std::unique_ptr<std::FILE, decltype(&std::fclose)> request_file{nullptr, &std::fclose};
  bool running = false;
  bool follows = false;  // a download may be elsewhere

  bool head_done = false;
  int status = 0;
  std::string content_type;
  std::optional<std::chrono::seconds> retry_after;
  std::string body;
  CURLcode result = CURLE_OK;
  char error_text[CURL_ERROR_SIZE] = {};

  void header(std::string_view line);
};

// An interim reply (1xx) has a head of its own: each status line starts anew.
void Channel::State::header(std::string_view line) {
  if (line.starts_with("HTTP/")) {
    content_type.clear();
    retry_after.reset();
    return;
  }
  if (trimmed(line).empty()) {
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    // libcurl goes on to where it points; our key does not go along to another host.
    if (follows && code == 307) return;
    if (code >= 200) {
      status = static_cast<int>(code);
      head_done = true;
    }
    return;
  }
  const auto colon = line.find(':');
  if (head_done || colon == std::string_view::npos) return;
  const auto name = lower(line.substr(0, colon));
  const auto value = trimmed(line.substr(colon + 1));
  if (name == "content-type") content_type = lower(value);
  if (name == "retry-after") {
    unsigned seconds = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (error == std::errc() && end == value.data() + value.size())
      retry_after = std::chrono::seconds(seconds);
  }
}

namespace {

template <class State>
std::size_t on_header(char* data, std::size_t, std::size_t size, void* state) {
  static_cast<State*>(state)->header({data, size});
  return size;
}

std::size_t on_read(char* into, std::size_t size, std::size_t count, void* file) {
  const auto got = std::fread(into, size, count, static_cast<std::FILE*>(file));
  return got < count && std::ferror(static_cast<std::FILE*>(file)) != 0 ? CURL_READFUNC_ABORT : got;
}

// Throws Error read_failed.
curl_off_t size_of(std::FILE* file, const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (!file || error) throw Error("read_failed", "cannot read " + path.string());
  return static_cast<curl_off_t>(size);
}

template <class State>
std::size_t on_body(char* data, std::size_t, std::size_t size, void* state) {
  static_cast<State*>(state)->body.append(data, size);
  return size;
}

}  // namespace

Channel::Channel(const ClientOptions& options) : state_(std::make_unique<State>()) {
  initialise_curl();
  state_->multi = curl_multi_init();
  state_->easy = curl_easy_init();
  if (!state_->multi || !state_->easy) throw Error("network_error", "cannot set up a connection: no memory");
  auto* easy = state_->easy;
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, state_->error_text);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header<State>);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, state_.get());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body<State>);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, state_.get());
  curl_easy_setopt(easy, CURLOPT_PRIVATE, state_.get());
  if (!options.ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  if (!options.proxy.empty()) {
    curl_easy_setopt(easy, CURLOPT_PROXY, options.proxy.c_str());
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
  } else if (is_loopback(options.base_url))
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

Channel::~Channel() {
  abandon();
  curl_easy_cleanup(state_->easy);
  curl_multi_cleanup(state_->multi);
  curl_slist_free_all(state_->headers);
}

void Channel::start(const ClientOptions& options, HttpRequest request) {
  abandon();
  auto& state = *state_;
  state.head_done = false;
  state.status = 0;
  state.content_type.clear();
  state.retry_after.reset();
  state.body.clear();
  state.result = CURLE_OK;
  state.error_text[0] = '\0';
  curl_slist_free_all(std::exchange(state.headers, nullptr));
  for (const auto& line : request.headers) state.headers = curl_slist_append(state.headers, line.c_str());
  state.headers = curl_slist_append(state.headers, "Expect:");

  auto* easy = state.easy;
  const auto url = options.base_url + request.target;
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
  state.follows = request.method == "GET";
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, state.follows ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, state.headers);
  if (request.body) {
    state.request_body = std::move(*request.body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(state.request_body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, state.request_body.c_str());
  }
  if (!request.body_file.empty()) {
    state.request_file.reset(std::fopen(request.body_file.c_str(), "rb"));
    const auto size = size_of(state.request_file.get(), request.body_file);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, nullptr);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, size);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, state.request_file.get());
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_multi_add_handle(state.multi, easy);
  state.running = true;
}

bool Channel::drive(milliseconds wait) {
  auto& state = *state_;
  const auto head_before = state.head_done;
  const auto step = [&] {
    int running = 0;
    curl_multi_perform(state.multi, &running);
    int queued = 0;
    while (const auto* message = curl_multi_info_read(state.multi, &queued)) {
      if (message->msg != CURLMSG_DONE) continue;
      state.result = message->data.result;
      curl_multi_remove_handle(state.multi, state.easy);
      state.running = false;
    }
    return state.running && state.body.empty() && state.head_done == head_before;
  };
  if (state.running && step() && wait.count() > 0) {
    pause(wait);
    step();
  }
  return state.running;
}

void Channel::pause(milliseconds wait) {
  const auto longest = milliseconds(3'600'000);
  curl_multi_poll(state_->multi, nullptr, 0, static_cast<int>(std::min(wait, longest).count()), nullptr);
}

void Channel::abandon() {
  if (!std::exchange(state_->running, false)) return;
  curl_multi_remove_handle(state_->multi, state_->easy);
}

void Channel::wake() {
  curl_multi_wakeup(state_->multi);
}

std::int64_t Channel::sent() const {
  curl_off_t bytes = 0;
  curl_easy_getinfo(state_->easy, CURLINFO_SIZE_UPLOAD_T, &bytes);
  return bytes;
}

int Channel::status() const {
  return state_->status;
}
const std::string& Channel::content_type() const {
  return state_->content_type;
}
std::optional<std::chrono::seconds> Channel::retry_after() const {
  return state_->retry_after;
}
std::string Channel::take_body() {
  return std::exchange(state_->body, {});
}

std::optional<Error> Channel::failure() const {
  if (state_->running || state_->result == CURLE_OK) return std::nullopt;
  const std::string text =
      state_->error_text[0] != '\0' ? state_->error_text : curl_easy_strerror(state_->result);
  return Error("network_error", "cannot reach the AgentRouter server: " + text);
}

}  // namespace agentrouter::detail
