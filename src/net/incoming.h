#pragma once
// A connection that was accepted and of which it is not known yet what it wants: looked at, read a little, and
// then handed on.

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/asio.h"
#include "base/error.h"
#include "base/event.h"
#include "base/fd.h"
#include "net/stream.h"

namespace agentrouter::net {

class Incoming {
 public:
  Incoming(base::Executor executor, base::Fd socket);

  // The address that was connected to; unspecified where there is none.
  [[nodiscard]] asio::ip::address destination() const;
  // The first byte, which stays where it is. Errors: timeout, unavailable (the peer has gone).
  [[nodiscard]] Task<Result<unsigned char>> first_byte(base::Deadline deadline);
  // Appends what arrives to begun(). Errors: timeout, unavailable (the peer has gone).
  [[nodiscard]] Task<Result<void>> read_more(base::Deadline deadline);
  // Resumes with true when the peer has gone, with false after settle().
  [[nodiscard]] Task<bool> left();
  void settle();

  // What was read.
  [[nodiscard]] const std::string& begun() const { return begun_; }
  // Sends a last word, if it can be sent at once, and closes; without one the peer sees a reset.
  void refuse(std::string_view word);
  // The socket, which this has nothing to do with any more.
  [[nodiscard]] base::Fd release();

 private:
  using Accepted = asio::basic_stream_socket<asio::generic::stream_protocol, base::Executor>;
  [[nodiscard]] Task<Result<void>> readable(base::Deadline deadline);

  Accepted socket_;
  std::string begun_;
  bool settled_ = false;
};

}  // namespace agentrouter::net
