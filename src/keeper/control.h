#pragma once
// The keeper's end of keeper.sock: serves any number of connections, tells each how long the journal is, and
// passes on what the server with the newest lease says. A connection that holds an older lease is closed as soon
// as there is a newer one, but for one that is being sent files.

#include <list>
#include <memory>

#include "base/event.h"
#include "base/fd.h"
#include "base/task_scope.h"
#include "keeper/protocol.h"

namespace agentrouter::keeper {

// Called on the server's executor.
class ControlHandler {
 public:
  virtual ~ControlHandler() = default;
  virtual void on_decision(const DecisionMessage& message) = 0;
  virtual void on_policy(const PolicyMessage& message) = 0;
  virtual void on_cancel() = 0;
  virtual void on_allowance(const LeaseMessage::Allowance& allowance) = 0;
  virtual void on_done() = 0;
  // Starts to answer a request for files; gives the read end of a pipe with the frames, up to its end.
  // Errors: what the server is told.
  virtual base::Result<base::Fd> on_files(const FilesMessage& message) = 0;
};

class ControlServer {
 public:
  struct Identity {
    std::string attempt_id;
    std::string run_id;
    std::int64_t token = 0;
  };
  // `handler` outlives it.
  ControlServer(base::Executor executor, Identity identity, ControlHandler& handler);
  ~ControlServer();

  // Serves keeper.sock (mode 0600) in the folder from now on; a file of that name is replaced.
  [[nodiscard]] base::Result<void> listen(int attempt_dir);
  // One more connection, however it came about.
  void serve(std::unique_ptr<Lines> lines);
  // Every connection hears of it soon; lengths in between may be skipped.
  void set_length(std::uint64_t length);
  // More allowance is wanted: every connection that gives some hears of it, also a later one, until one gives
  // more than `wish.have`.
  void ask_allowance(const AllowanceWish& wish);
  // `exit` is durable: every connection, also a later one, hears it.
  void say_bye();
  // Closes everything and waits for its coroutines. Call before the destructor.
  base::Task<void> stop();

 private:
  struct Connection;
  using Acceptor = asio::basic_socket_acceptor<asio::local::stream_protocol, base::Executor>;

  base::Task<void> accept();
  base::Task<void> read(std::shared_ptr<Connection> connection);
  base::Task<void> write(std::shared_ptr<Connection> connection);
  base::Task<void> answer_files(Connection& connection);
  bool obey(Connection& connection, const ServerMessage& message);
  bool take_lease(Connection& connection, const LeaseMessage& lease);
  void close(Connection& connection);

  base::Executor executor_;
  Identity identity_;
  ControlHandler& handler_;
  Acceptor acceptor_;
  std::uint64_t length_ = 0;
  std::int64_t newest_token_ = 0;
  bool bye_ = false;
  std::optional<AllowanceWish> wish_;
  std::uint64_t wishes_ = 0;  // how many there were
  std::list<std::shared_ptr<Connection>> connections_;
  base::TaskScope scope_;
};

}  // namespace agentrouter::keeper
