// Lines over a unix socket.

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "base/file.h"
#include "keeper/protocol.h"

namespace agentrouter::keeper {

base::Task<base::Result<std::string>> LineSocket::read_line(std::size_t limit) {
  std::size_t searched = 0;
  for (;;) {
    const std::size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      co_return line;
    }
    searched = buffer_.size();
    if (searched > limit) {
      co_return base::fail(base::Code::invalid, "cannot read the keeper's socket: the line is too long");
    }
    char bytes[4096];
    boost::system::error_code error;
    const std::size_t n =
        co_await socket_.async_read_some(asio::buffer(bytes), asio::redirect_error(base::use_task, error));
    if (error)
      co_return base::fail(base::Code::unavailable, "cannot read the keeper's socket: " + error.message());
    buffer_.append(bytes, n);
  }
}

base::Task<base::Result<std::string>> LineSocket::read_some() {
  if (!buffer_.empty()) co_return std::exchange(buffer_, {});
  std::string bytes(64u << 10, '\0');
  boost::system::error_code error;
  const std::size_t n =
      co_await socket_.async_read_some(asio::buffer(bytes), asio::redirect_error(base::use_task, error));
  if (error && error != asio::error::eof)
    co_return base::fail(base::Code::unavailable, "cannot read the keeper's socket: " + error.message());
  bytes.resize(n);
  co_return bytes;
}

base::Task<base::Result<void>> LineSocket::write(std::string bytes) {
  boost::system::error_code error;
  co_await asio::async_write(socket_, asio::buffer(bytes), asio::redirect_error(base::use_task, error));
  if (error)
    co_return base::fail(base::Code::unavailable, "cannot write the keeper's socket: " + error.message());
  co_return base::Result<void>{};
}

void LineSocket::close() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
}

pid_t LineSocket::peer() const {
  struct ucred credentials = {};
  socklen_t size = sizeof credentials;
  const int fd = const_cast<Socket&>(socket_).native_handle();
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 ? credentials.pid : -1;
}

base::Result<LineSocket> connect_to_keeper(base::Executor executor, int attempt_dir) {
  LineSocket::Socket socket(executor);
  boost::system::error_code error;
  const std::string path = base::path_through_fd(attempt_dir, control_socket_name);
  socket.connect(asio::local::stream_protocol::endpoint(path), error);
  if (error) return base::fail(base::Code::unavailable, "cannot reach the keeper: " + error.message());
  return LineSocket(std::move(socket));
}

}  // namespace agentrouter::keeper
