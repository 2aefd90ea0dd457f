#pragma once
// The messages of keeper.sock (docs/formats/keeper-protocol.md): one JSON object on one line each. Both ends
// use this file, so neither can drift from the other.

#include <sys/types.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/asio.h"
#include "base/error.h"
#include "policy/spending.h"

namespace agentrouter::keeper {

// Version 2: each command carries the token of its lease, and a cancel is acknowledged. Both ends still speak 1.
inline constexpr int control_protocol = 2;
inline constexpr int oldest_protocol = 1;
inline constexpr std::size_t control_line_bytes = 64u << 10;
// A policy is as long as its files.
inline constexpr std::size_t policy_line_bytes = 8u << 20;
inline constexpr const char* control_socket_name = "keeper.sock";

// Keeper to server.
struct Hello {
  int protocol = control_protocol;
  std::string attempt_id;
  std::string run_id;
  std::int64_t token = 0;
  std::uint64_t length = 0;
  bool takes_policy = false;    // PolicyMessage
  int since = oldest_protocol;  // the oldest version that it obeys
};
// The version that a server of ours speaks with this keeper; nothing when they have none in common.
[[nodiscard]] std::optional<int> common_protocol(const Hello& hello);
struct Length {
  std::uint64_t length = 0;
};
struct Bye {};
// The last message of a connection that has asked for files: unless it says why not, what follows up to the
// end of the connection are the frames of workspace/file_request.h.
struct FilesBegin {
  std::string refused;
};
// More of the budgets over runs is wanted than `have` in all: `needed` at once. Only said on a connection whose
// lease came with an allowance; repeated on each until there is more.
struct AllowanceWish {
  policy::Amount have;
  policy::Amount needed;
};
// Since version 2: it has heard the cancel of this connection and ends what the agent has running.
struct Cancelling {};
using KeeperMessage = std::variant<Hello, Length, Bye, FilesBegin, AllowanceWish, Cancelling>;

// Server to keeper. `token` of a command is that of the sender's lease; 0 under version 1, whose commands have
// none.
struct LeaseMessage {
  // What the attempt may spend in all; a total, so that saying it twice changes nothing.
  struct Allowance {
    policy::Amount total;
    std::string exhausted;  // the budget that gives nothing more; empty when there may be more
  };
  std::int64_t token = 0;
  std::optional<Allowance> allowance = {};
  int protocol = oldest_protocol;  // that this connection speaks from here on
};
enum class DecisionKind { approved, denied, expired };
struct DecisionMessage {
  std::string action_id;
  std::string action_digest;
  DecisionKind decision = DecisionKind::denied;
  std::string event_id;     // of the event that decided: the cause of what follows
  std::string reason = {};  // of a person
  std::string input = {};   // approved with this input instead: JSON text of an object; empty for none
  std::int64_t token = 0;
};
struct CancelMessage {
  std::int64_t token = 0;
};
struct DoneMessage {
  std::int64_t token = 0;
};
// The last message of a connection, which then carries one answer: workspace::to_json(FileRequest).
struct FilesMessage {
  std::string request;
  std::int64_t token = 0;
};
// What the policy that the run is held to says now. For keepers that say that they take it.
struct PolicyMessage {
  std::string document;  // JSON text, as policy::Rules::document()
  std::int64_t token = 0;
};
using ServerMessage =
    std::variant<LeaseMessage, DecisionMessage, CancelMessage, DoneMessage, FilesMessage, PolicyMessage>;

[[nodiscard]] std::string to_line(const KeeperMessage& message);
[[nodiscard]] std::string to_line(const ServerMessage& message);
// Errors: invalid.
[[nodiscard]] base::Result<KeeperMessage> parse_keeper_message(std::string_view line);
[[nodiscard]] base::Result<ServerMessage> parse_server_message(std::string_view line);
// Of a lease or a command.
[[nodiscard]] std::int64_t token_of(const ServerMessage& message);
void set_token(ServerMessage& message, std::int64_t token);

// One end of a connection. One reader and one writer at a time.
class Lines {
 public:
  virtual ~Lines() = default;
  // The next line without its end. Errors: unavailable (the other end is gone, or close() was called),
  // invalid (a line over `limit`).
  virtual base::Task<base::Result<std::string>> read_line(std::size_t limit = control_line_bytes) = 0;
  // Errors: unavailable.
  virtual base::Task<base::Result<void>> write(std::string bytes) = 0;
  // Wakes reader and writer with unavailable.
  virtual void close() = 0;
  // The process at the other end; -1 when it cannot be told.
  [[nodiscard]] virtual pid_t peer() const = 0;
};

// A unix stream socket.
class LineSocket final : public Lines {
 public:
  using Socket = asio::basic_stream_socket<asio::local::stream_protocol, base::Executor>;

  explicit LineSocket(Socket socket) : socket_(std::move(socket)) {}
  LineSocket(LineSocket&&) = default;

  base::Task<base::Result<std::string>> read_line(std::size_t limit = control_line_bytes) override;
  // What comes next, whether it has a line end or not; "" at the end. Errors: unavailable.
  base::Task<base::Result<std::string>> read_some();
  base::Task<base::Result<void>> write(std::string bytes) override;
  void close() override;
  [[nodiscard]] pid_t peer() const override;

 private:
  Socket socket_;
  std::string buffer_;
};

// Errors: unavailable (nobody listens).
[[nodiscard]] base::Result<LineSocket> connect_to_keeper(base::Executor executor, int attempt_dir);

}  // namespace agentrouter::keeper
