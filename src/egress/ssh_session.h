#pragma once
// One ssh session to a server whose key is known, with one command on it. Internal to egress; the only place
// that knows libssh2.

#include <functional>
#include <memory>
#include <string>

#include "base/asio.h"
#include "base/error.h"
#include "base/event.h"
#include "base/fd.h"
#include "egress/ssh_gate.h"

struct _LIBSSH2_SESSION;
struct _LIBSSH2_CHANNEL;

namespace agentrouter::egress {

class SshSession {
 public:
  SshSession(base::Executor executor, base::Fd socket);
  SshSession(const SshSession&) = delete;
  SshSession& operator=(const SshSession&) = delete;
  ~SshSession();

  // Key exchange, the server's key, the user's key, the command. Errors: denied (reason untrusted: the host
  // key is not known; unauthorized), unavailable, timeout, invalid (the private key cannot be read).
  [[nodiscard]] base::Task<base::Result<void>> start(const SshGateConfig& config, const std::string& command);

  // How many of the bytes were taken, 0 when the server takes none now. Errors: unavailable.
  [[nodiscard]] base::Result<std::size_t> write(std::string_view bytes);
  // What the command says, "" when there is nothing now. Errors: unavailable.
  [[nodiscard]] base::Result<std::string> read();
  [[nodiscard]] bool ended() const;
  // The end of what the command said on stderr.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  // False while a write is under way that only its repetition may finish.
  [[nodiscard]] bool may_read() const { return may_read_; }

  // `changed`, which outlives the session, is notified when write() and read() are worth another try.
  void watch(base::Event& changed);

 private:
  struct Closer {
    void operator()(_LIBSSH2_SESSION* session) const;
  };
  base::Task<base::Result<void>> drive(std::function<int()> step, const char* what, base::Deadline deadline);
  [[nodiscard]] tl::unexpected<base::Error> failed(const char* what) const;
  base::Result<void> check_host_key(const SshGateConfig& config);
  void wait_for_socket();
  struct Socket;
  class Listening;

  std::shared_ptr<Socket> socket_;
  std::unique_ptr<_LIBSSH2_SESSION, Closer> session_;
  _LIBSSH2_CHANNEL* channel_ = nullptr;  // the session's
  std::string complaint_;
  bool may_read_ = true;
};

}  // namespace agentrouter::egress
