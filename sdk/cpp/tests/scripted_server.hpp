#pragma once
// An HTTP server that a test scripts, byte by byte where it likes: on raw sockets, so that it can also cut,
// stall and lie. Every request is recorded.

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace agentrouter::scripted {

struct Request {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;
  [[nodiscard]] std::string header(const std::string& name) const;
};

// One accepted connection, inside a handler.
class Connection {
 public:
  explicit Connection(int socket) : socket_(socket) {}
  void send(std::string_view bytes);
  // No further request is read from it.
  void close() { closing_ = true; }
  // Closes with a reset instead of an end.
  void reset();
  // Blocks until the client or the server goes away.
  void hold();
  [[nodiscard]] bool closing() const { return closing_; }

 private:
  int socket_;
  bool closing_ = false;
};

using Handler = std::function<void(Connection&, const Request&)>;

// A whole reply with Content-Length.
[[nodiscard]] Handler reply(int status, std::string body, std::string extra_headers = {},
                            std::string content_type = "application/json");
// An event stream that ends after `body`, in the given chunks.
[[nodiscard]] Handler event_stream(std::vector<std::string> pieces);
// The same, but it stays open.
[[nodiscard]] Handler open_stream(std::vector<std::string> pieces);
// Says nothing, and stays open.
[[nodiscard]] Handler silence();

// {"runId":"run_1","sequence":n,"type":type,...} as one line; `payload` is a JSON object.
[[nodiscard]] std::string event_json(int sequence, std::string_view type, std::string_view payload = "{}");
[[nodiscard]] std::string frame(int sequence, std::string_view type, std::string_view payload = "{}");
[[nodiscard]] std::string error_json(std::string_view code, std::string_view message,
                                     std::string_view details = "{}");

class ScriptedServer {
 public:
  ScriptedServer();
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // `route` is "GET /v1/runs", without the query. Each request takes the next handler; the last
  // one stays until another is put after it has served.
  void on(const std::string& route, Handler handler);
  [[nodiscard]] std::vector<Request> requests() const;
  // Requests of one route.
  [[nodiscard]] std::vector<Request> requests(const std::string& route) const;
  // Blocks until the route was asked for `count` times.
  void wait_for(const std::string& route, std::size_t count);
  // Stops listening; what is connected stays.
  void refuse();

 private:
  void accept_loop();
  void serve(int socket);
  [[nodiscard]] Handler take(const Request& request);

  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  struct Queue {
    std::deque<Handler> handlers;
    bool last_has_served = false;
  };
  std::map<std::string, Queue> queues_;
  std::vector<Request> requests_;
  std::vector<int> sockets_;
  std::list<std::thread> workers_;
  std::thread acceptor_;
};

}  // namespace agentrouter::scripted
