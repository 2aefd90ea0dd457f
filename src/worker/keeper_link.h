#pragma once
// The worker's end of one keeper.sock.

#include <memory>

#include "base/event.h"
#include "worker/ports.h"

namespace agentrouter::worker {

class KeeperLink {
 public:
  // Connects and reads the greeting, trying again until `deadline`: a keeper that has just been started makes
  // its socket a moment later. `changed` outlives the link.
  //
  // Errors: unavailable, timeout, unsupported (there is no version of the protocol that both speak).
  static base::Task<base::Result<std::unique_ptr<KeeperLink>>> open(const ConnectKeeper& connect,
                                                                    int attempt_dir, base::Deadline deadline,
                                                                    base::Event& changed);

  // Reads what the keeper says, until the link is closed. Notifies `changed` each time.
  base::Task<void> listen();
  // In the version that was agreed on; the first message is the lease, whose token is then that of every command.
  // Errors: unavailable.
  base::Task<base::Result<void>> send(keeper::ServerMessage message);
  void close() { lines_->close(); }

  // More allowance that the keeper wants and was not yet asked about here.
  [[nodiscard]] const std::optional<keeper::AllowanceWish>& wish() const { return wish_; }
  void forget_wish() { wish_.reset(); }
  [[nodiscard]] std::uint64_t wishes() const { return wishes_; }  // how many there were
  [[nodiscard]] std::uint64_t journal_length() const { return length_; }
  [[nodiscard]] bool takes_policy() const { return takes_policy_; }
  [[nodiscard]] bool said_bye() const { return bye_; }
  // Of the newest lease that the keeper knew when it greeted.
  [[nodiscard]] std::int64_t newest_token() const { return newest_token_; }
  // It says when it has heard a cancel, and whether it has.
  [[nodiscard]] bool acknowledges_cancel() const { return protocol_ >= 2; }
  [[nodiscard]] bool is_cancelling() const { return cancelling_; }
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] pid_t keeper_pid() const { return lines_->peer(); }

  KeeperLink(std::unique_ptr<keeper::Lines> lines, const keeper::Hello& hello, base::Event& changed)
      : lines_(std::move(lines)),
        length_(hello.length),
        takes_policy_(hello.takes_policy),
        protocol_(keeper::common_protocol(hello).value_or(keeper::oldest_protocol)),
        newest_token_(hello.token),
        changed_(changed) {}

 private:
  std::unique_ptr<keeper::Lines> lines_;
  std::uint64_t length_;
  bool takes_policy_;
  int protocol_;
  std::int64_t newest_token_;
  std::int64_t token_ = 0;
  bool cancelling_ = false;
  std::optional<keeper::AllowanceWish> wish_;
  std::uint64_t wishes_ = 0;
  bool bye_ = false;
  bool closed_ = false;
  base::Event& changed_;
};

}  // namespace agentrouter::worker
