#include "blobs/s3/transport.h"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>

#include "base/ascii.h"
#include "blobs/s3/s3_answer.h"

namespace agentrouter::blobs {

namespace {

constexpr std::size_t idle_handles = 16;

void initialise_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r' || text.back() == '\n'))
    text.remove_suffix(1);
  return text;
}

// A proxy named in the environment is for the network, not for a store on this machine.
bool on_this_machine(std::string_view url) {
  const auto begin = url.find("://");
  auto host = url.substr(begin == std::string_view::npos ? 0 : begin + 3);
  host = host.substr(0, host.find('/'));
  if (host.substr(0, host.rfind(':')).ends_with(".localhost")) return true;
  return host.starts_with("127.") || host.starts_with("[::1]") || host.starts_with("localhost:") ||
         host == "localhost";
}

std::string host_of(const std::string& url) {
  const auto begin = url.find("://");
  const auto from = begin == std::string::npos ? 0 : begin + 3;
  return url.substr(from, url.find('/', from) - from);
}

base::Code code_of(CURLcode result) {
  switch (result) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return base::Code::denied;
    case CURLE_ABORTED_BY_CALLBACK:
      return base::Code::cancelled;
    default:
      return base::Code::unavailable;
  }
}

// What one request has to do with its callbacks.
struct Exchange {
  const HttpRequest& request;
  const std::atomic<bool>& stopped;
  CURL* easy;
  HttpAnswer answer;
  std::string_view body = request.body;
  std::int64_t sent = 0;  // of a file
  std::exception_ptr thrown;

  void header(std::string_view line) {
    if (line.starts_with("HTTP/")) answer.headers.clear();
    const auto colon = line.find(':');
    if (line.starts_with("HTTP/") || colon == std::string_view::npos || answer.headers.size() > 200) return;
    answer.headers.emplace_back(base::ascii_lower(line.substr(0, colon)),
                                without_blanks(line.substr(colon + 1)));
  }

  // False: the transfer is to end.
  bool take(std::string_view bytes) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (request.sink && status >= 200 && status < 300) {
      try {
        request.sink(bytes);
        return true;
      } catch (const std::exception&) {
        thrown = std::current_exception();
        return false;
      }
    }
    if (answer.body.size() + bytes.size() > answer_bytes) return false;
    answer.body += bytes;
    return true;
  }

  std::size_t give(char* into, std::size_t room) {
    if (!request.file) {
      const auto size = std::min(room, body.size());
      std::copy_n(body.data(), size, into);
      body.remove_prefix(size);
      return size;
    }
    const auto& file = *request.file;
    const auto wanted =
        static_cast<std::size_t>(std::min<std::int64_t>(static_cast<std::int64_t>(room), file.size - sent));
    if (wanted == 0) return 0;
    ssize_t got = 0;
    do {
      got = ::pread(file.fd, into, wanted, file.from + sent);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) return CURL_READFUNC_ABORT;
    sent += got;
    return static_cast<std::size_t>(got);
  }

  void rewind() {
    body = request.body;
    sent = 0;
  }
};

std::size_t take_header(char* data, std::size_t, std::size_t size, void* exchange) {
  static_cast<Exchange*>(exchange)->header({data, size});
  return size;
}

std::size_t take_body(char* data, std::size_t, std::size_t size, void* exchange) {
  return static_cast<Exchange*>(exchange)->take({data, size}) ? size : CURL_WRITEFUNC_ERROR;
}

std::size_t give_body(char* into, std::size_t size, std::size_t count, void* exchange) {
  return static_cast<Exchange*>(exchange)->give(into, size * count);
}

int seek_body(void* exchange, curl_off_t offset, int origin) {
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Exchange*>(exchange)->rewind();
  return CURL_SEEKFUNC_OK;
}

int look_whether_to_stop(void* exchange, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Exchange*>(exchange)->stopped ? 1 : 0;
}

}  // namespace

std::string_view HttpAnswer::header(std::string_view name) const {
  for (const auto& [known, value] : headers) {
    if (known == name) return value;
  }
  return {};
}

struct Transport::Handle {
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  char error_text[CURL_ERROR_SIZE] = {};

  ~Handle() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }
  void set_headers(const Pairs& wanted) {
    curl_slist_free_all(std::exchange(headers, nullptr));
    for (const auto& [name, value] : wanted) {
      // With nothing behind the colon libcurl would leave the field out.
      const auto line = value.empty() ? name + ";" : name + ": " + value;
      headers = curl_slist_append(headers, line.c_str());
    }
    for (const char* none : {"Expect:", "Content-Type:"}) {
      const std::string_view name(none, std::string_view(none).size() - 1);
      const bool given = std::ranges::any_of(
          wanted, [name](const auto& pair) { return base::equal_without_case(pair.first, name); });
      if (!given) headers = curl_slist_append(headers, none);
    }
  }
};

Transport::Transport(TransportLimits limits, std::string ca_file)
    : limits_(limits), ca_file_(std::move(ca_file)) {
  initialise_curl_once();
}

Transport::~Transport() = default;

std::unique_ptr<Transport::Handle> Transport::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto handle = std::move(idle_.back());
      idle_.pop_back();
      return handle;
    }
  }
  auto handle = std::make_unique<Handle>();
  handle->easy = curl_easy_init();
  if (handle->easy == nullptr)
    base::throw_failure(base::Code::unavailable, "cannot set up a connection: no memory");
  return handle;
}

void Transport::give_back(std::unique_ptr<Handle> handle) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < idle_handles) idle_.push_back(std::move(handle));
}

base::Result<HttpAnswer> Transport::perform(const HttpRequest& request) {
  if (stopped_) return base::fail(base::Code::cancelled, "the server is stopping");
  auto handle = take();
  auto* easy = handle->easy;
  Exchange exchange{.request = request, .stopped = stopped_, .easy = easy, .answer = {}, .thrown = {}};
  curl_easy_reset(easy);  // its connections stay
  handle->error_text[0] = '\0';
  handle->set_headers(request.headers);
  const bool sends = request.method == "PUT" || request.method == "POST";
  const auto total = request.total.count() > 0 ? request.total : limits_.total;
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(limits_.connect.count()));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1024L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(limits_.idle.count()));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(total.count()) * 1000L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, handle->error_text);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, handle->headers);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &take_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &take_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, &look_whether_to_stop);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &exchange);
  if (!ca_file_.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file_.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  if (on_this_machine(request.url)) curl_easy_setopt(easy, CURLOPT_PROXY, "");
  if (sends) {
    const auto size = request.file ? request.file->size : static_cast<std::int64_t>(request.body.size());
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size));
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &give_body);
    curl_easy_setopt(easy, CURLOPT_READDATA, &exchange);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &seek_body);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, &exchange);
  } else if (request.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  }
  if (request.method != "HEAD") curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  const auto result = curl_easy_perform(easy);
  const std::string text = handle->error_text[0] != '\0' ? handle->error_text : curl_easy_strerror(result);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  give_back(std::move(handle));
  if (exchange.thrown) std::rethrow_exception(exchange.thrown);
  exchange.answer.status = static_cast<int>(status);
  // A store may answer before it has read all of a body, and close.
  const bool refused = result == CURLE_SEND_ERROR && status >= 400;
  if (result != CURLE_OK && !refused)
    return base::fail(code_of(result), "no answer from " + host_of(request.url) + ": " + text);
  return std::move(exchange.answer);
}

}  // namespace agentrouter::blobs
