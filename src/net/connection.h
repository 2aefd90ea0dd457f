#pragma once
// One accepted connection: reads heads, calls the handler, writes answers, one request after the other.
// Internal to net; handlers see it as Exchange and StreamWriter.

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <memory>
#include <optional>
#include <string>

#include "net/alarm.h"
#include "net/exchange.h"
#include "net/read_buffer.h"
#include "net/request_parser.h"
#include "net/response_head.h"
#include "net/server.h"

namespace agentrouter::net {

using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, base::Executor>;

class Connection final : public Exchange, private StreamWriter {
 public:
  // Everything passed outlives it.
  Connection(Server& server, Socket socket, std::string remote, Handler& handler,
             const ErrorReply& error_reply);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() override;

  // Serves requests until either side closes.
  Task<void> run();
  // Answers 503 to whatever the peer wants, but for /healthz and /readyz, by which a server is watched: they go
  // to the handler.
  Task<void> refuse();
  // The server is stopping: ends an idle connection, tells a stream to end, else lets the request finish.
  void stop();
  // Nothing more of a body is read.
  void refuse_body();

  // Exchange
  [[nodiscard]] const Request& request() const override { return parser_->request(); }
  void limit_body(std::uint64_t bytes) override { body_limit_ = bytes; }
  [[nodiscard]] Task<Result<std::string>> read_body() override;
  [[nodiscard]] Task<Result<std::string>> read_some() override;
  void on_gone(std::function<void()> callback) override;
  [[nodiscard]] Task<void> respond(Response response) override;
  [[nodiscard]] Task<StreamWriter*> start_stream(Response head) override;
  [[nodiscard]] Task<void> send_file(Response head, int fd, std::uint64_t offset,
                                     std::uint64_t size) override;
  [[nodiscard]] bool answered() const override { return answered_; }

 private:
  enum class Filled { some, end, timeout, cancelled };
  enum class Next { request, close, refused };
  struct Watch;

  // StreamWriter
  [[nodiscard]] Task<bool> write(std::string_view bytes) override;
  [[nodiscard]] bool ended() const override { return ended_; }
  void on_end(std::function<void()> callback) override;
  void abort() override { cut(); }

  void leave();
  Task<Filled> fill(base::Deadline deadline);
  Task<Next> read_head(base::Deadline first_byte);
  Task<void> serve_request();
  Task<void> answer_defect(std::string defect);
  Task<Result<void>> begin_body();
  Task<Result<void>> more_body(std::string& body, base::Deadline deadline);
  tl::unexpected<base::Error> body_failed(base::Error error);
  Task<void> drop_body();
  Task<void> linger();

  void begin_answer();
  BodyFraming head_into(const Response& response, std::optional<std::uint64_t> length);
  Task<void> send_error(int status, std::string code, std::string message);
  Task<bool> send(std::string_view bytes);
  Task<void> end_stream();
  void watch();
  void unwatch();
  void on_readable(bool failed);
  void signal_end();
  void cut();
  [[nodiscard]] base::Deadline in(std::chrono::milliseconds duration) const;

  Server& server_;
  Handler& handler_;
  const ErrorReply& error_reply_;
  Socket socket_;
  std::string remote_;
  std::optional<RequestParser> parser_;
  ReadBuffer in_;
  std::string out_;
  std::uint64_t body_limit_ = 0;
  bool idle_ = false;        // waits for the first byte of a request
  bool keep_alive_ = true;   // after the current answer
  bool dead_ = false;        // nothing can be sent any more
  bool body_begun_ = false;  // limit checked and 100 sent where asked for
  bool answered_ = false;
  bool streaming_ = false;
  bool held_ = false;  // somebody wants to know when the peer goes, before there is an answer
  bool ended_ = false;
  bool in_body_ = false;       // waits for bytes of a body
  bool body_refused_ = false;  // nothing more of it is read
  BodyFraming framing_ = BodyFraming::none;
  std::uint64_t length_left_ = 0;  // with BodyFraming::length
  std::function<void()> on_end_;
  std::shared_ptr<Watch> watch_;
  Alarm alarm_;
};

}  // namespace agentrouter::net
