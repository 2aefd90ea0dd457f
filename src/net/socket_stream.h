#pragma once
// What TCP, unix and TLS streams share: deadlines around Asio's operations, and connecting. Internal to net.

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>

#include "net/alarm.h"
#include "net/stream.h"

namespace agentrouter::net {

using TcpSocket = asio::basic_stream_socket<asio::ip::tcp, base::Executor>;

// A connected socket for `host`, its addresses tried in turn. Errors: those of connect_tcp().
[[nodiscard]] Task<Result<TcpSocket>> connect_socket(std::string host, std::uint16_t port,
                                                     base::Deadline deadline, Reach reach);
// The same without a look-up.
[[nodiscard]] Task<Result<TcpSocket>> connect_socket(Addressed to, base::Deadline deadline);

// `action` is "cannot read from a connection" and the like. `end` (EOF) is not an error for readers.
[[nodiscard]] tl::unexpected<base::Error> stream_error(std::string action,
                                                       const boost::system::error_code& error,
                                                       bool timed_out);

// A Stream over anything with Asio's async_read_some, async_write_some and lowest_layer().
template <class Layer>
class SocketStream final : public Stream {
 public:
  SocketStream(base::Executor executor, Layer layer)
      : layer_(std::move(layer)),
        reading_(executor, [this] { time_out(); }),
        writing_(executor, [this] { time_out(); }) {}

  Task<Result<std::size_t>> read_some(std::span<char> buffer, base::Deadline deadline) override {
    boost::system::error_code error;
    reading_.set(deadline);
    const auto size = co_await layer_.async_read_some(asio::buffer(buffer.data(), buffer.size()),
                                                      asio::redirect_error(base::use_task, error));
    reading_.cancel();
    if (error == asio::error::eof) co_return std::size_t{0};
    if (error) co_return stream_error("cannot read from a connection", error, timed_out_);
    co_return size;
  }

  Task<Result<void>> write(std::string_view bytes, base::Deadline deadline) override {
    writing_.set(deadline);
    while (!bytes.empty()) {
      boost::system::error_code error;
      const auto size = co_await layer_.async_write_some(asio::buffer(bytes.data(), bytes.size()),
                                                         asio::redirect_error(base::use_task, error));
      if (error) co_return stream_error("cannot write to a connection", error, timed_out_);
      bytes.remove_prefix(size);
    }
    writing_.cancel();
    co_return Result<void>();
  }

  Task<void> end(base::Deadline deadline) override {
    boost::system::error_code ignored;
    if constexpr (requires { layer_.async_shutdown(base::use_task); }) {
      writing_.set(deadline);
      co_await layer_.async_shutdown(asio::redirect_error(base::use_task, ignored));
      writing_.cancel();
    } else {
      layer_.shutdown(Layer::shutdown_send, ignored);
      co_return;
    }
  }

  void close() override {
    boost::system::error_code ignored;
    layer_.lowest_layer().close(ignored);
  }

  [[nodiscard]] Layer& layer() { return layer_; }

 private:
  void time_out() {
    timed_out_ = true;
    close();
  }

  Layer layer_;
  bool timed_out_ = false;
  Alarm reading_;
  Alarm writing_;
};

}  // namespace agentrouter::net
