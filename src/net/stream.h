#pragma once
// A connection to somewhere else, as bytes: TCP, TLS or a unix socket behind one interface.

#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/asio.h"
#include "base/error.h"
#include "base/event.h"
#include "base/fd.h"
#include "net/address.h"

namespace agentrouter::net {

using base::Result;
using base::Task;

// Belongs to one executor. One read and one write may be under way at the same time, not two of a kind.
// After an error it is of no more use.
class Stream {
 public:
  virtual ~Stream() = default;

  // At least one byte, or 0 at the end. Errors: timeout, unavailable (reset, or a TLS peer that left
  // without saying so), cancelled (close() was called).
  [[nodiscard]] virtual Task<Result<std::size_t>> read_some(std::span<char> buffer,
                                                            base::Deadline deadline) = 0;
  // All of `bytes`, which must live until it resumes. Errors: as read_some(); some may then have been sent.
  [[nodiscard]] virtual Task<Result<void>> write(std::string_view bytes, base::Deadline deadline) = 0;
  // Tells the peer that nothing more is written: the end of TCP, or of TLS, which waits for the peer's own until
  // `deadline`. Reading goes on after it where that is TCP. Errors: none that anybody has to know.
  [[nodiscard]] virtual Task<void> end(base::Deadline deadline) = 0;
  // Drops the connection. What is under way ends with an error. More than once is harmless.
  virtual void close() = 0;
};

// Which certificates a TLS client believes. Always checks the chain and the host name, from TLS 1.2 up.
class TlsContext {
 public:
  struct Options {
    std::string ca_file = {};  // PEM, in addition to the system's certificates
    std::string ca_pem = {};   // the same as text
  };
  // Errors: invalid (ca_file or ca_pem cannot be read).
  [[nodiscard]] static Result<TlsContext> create(Options options);
  TlsContext(TlsContext&&) noexcept;
  TlsContext& operator=(TlsContext&&) noexcept;
  ~TlsContext();

  struct Native;
  [[nodiscard]] Native& native() const { return *native_; }

 private:
  explicit TlsContext(std::unique_ptr<Native> native);
  std::unique_ptr<Native> native_;
};

// Every address of a name; one that is an address already is itself. Errors: unavailable (no such host), timeout.
[[nodiscard]] Task<Result<std::vector<asio::ip::address>>> look_up(std::string host, base::Deadline deadline);

// Where to connect to without looking anything up: the addresses are tried in turn.
struct Addressed {
  std::string host;  // for errors, and whose certificate is asked for
  std::vector<asio::ip::address> addresses;
  std::uint16_t port = 0;
};
// Errors: unavailable (refused, unreachable, no address), timeout.
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> connect_tcp(Addressed to, base::Deadline deadline);
// Errors: also denied (the certificate is not believed or belongs to another host).
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> connect_tls(Addressed to, const TlsContext& context,
                                                                base::Deadline deadline);

// Resolves and connects; each address of the name that `reach` allows is tried in turn until `deadline`.
// Errors: unavailable (no such host, refused, unreachable), timeout, denied (reason address_denied: the name
// has only addresses that may not be reached).
// With Reach::public_only a name that is not known and one of a private address have the same message:
// whoever may choose the host does not learn from it which names this machine knows.
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> connect_tcp(std::string host, std::uint16_t port,
                                                                base::Deadline deadline,
                                                                Reach reach = Reach::anywhere);
// The same, then a TLS handshake for `host`. `context` outlives the stream.
// Errors: also denied (the certificate is not believed or belongs to another host).
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> connect_tls(std::string host, std::uint16_t port,
                                                                const TlsContext& context,
                                                                base::Deadline deadline,
                                                                Reach reach = Reach::anywhere);
// Errors: not_found, unavailable (nobody listens), timeout, invalid (path too long).
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> connect_unix(std::string path, base::Deadline deadline);

// The connected socket itself, for protocols that are not spoken here. Errors: as connect_tcp().
[[nodiscard]] Task<Result<base::Fd>> connect_fd(std::string host, std::uint16_t port, base::Deadline deadline,
                                                Reach reach = Reach::anywhere);

// Takes over a connected stream socket (TCP or unix). Must be called on the executor.
[[nodiscard]] std::unique_ptr<Stream> adopt_stream(base::Executor executor, base::Fd socket);

}  // namespace agentrouter::net
