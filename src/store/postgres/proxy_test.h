#pragma once
// For tests: a socket in front of a server of testing/postgres_server.h that loses what it is told to lose.

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "base/fd.h"
#include "testing/postgres_server.h"

namespace agentrouter::store::postgres {

class Proxy {
 public:
  enum class Lose { nothing, request, answer };

  explicit Proxy(const testing::PostgresServer& server)
      : target_(server.folder() / testing::PostgresServer::socket_name) {
    ::signal(SIGPIPE, SIG_IGN);  // a client may be gone before it was answered
    listener_ = base::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = address_of(folder_ / testing::PostgresServer::socket_name);
    AGENTROUTER_CHECK(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                      0);
    AGENTROUTER_CHECK(::listen(listener_.get(), 64) == 0);
    thread_ = std::thread([this] { pass(); });
  }
  ~Proxy() {
    over_ = true;
    thread_.join();
  }

  // postgres://..., through this.
  [[nodiscard]] std::string url(const std::string& database) const {
    std::string host;
    for (const char c : folder_.path().string()) c == '/' ? host.append("%2F") : host.append(1, c);
    return "postgres://tester@" + host + "/" + database;
  }
  // Closes every connection, at once. New ones are taken, unless refuse().
  void cut() {
    cut_ = true;
    wait_for(cut_);
  }
  void refuse(bool refuses) { refuses_ = refuses; }
  // The next time that a client sends this text, its connection ends: before the server has it, or once it
  // has answered.
  void lose_next(std::string text, Lose what) {
    const std::lock_guard lock(mutex_);
    text_ = std::move(text);
    what_ = what;
  }
  [[nodiscard]] bool has_lost() {
    const std::lock_guard lock(mutex_);
    return what_ == Lose::nothing;
  }

 private:
  struct Pair {
    base::Fd client;
    base::Fd server;
    bool loses_answer = false;
    bool over = false;
  };

  static sockaddr_un address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }
  static void wait_for(const std::atomic<bool>& done) {
    while (done) std::this_thread::yield();
  }

  void accept_one() {
    base::Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    base::Fd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = address_of(target_);
    if (refuses_ || ::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return;
    pairs_.push_back({std::move(client), std::move(server)});
  }

  // What this text means for the connection on which it came.
  Lose look(std::string_view bytes) {
    const std::lock_guard lock(mutex_);
    if (what_ == Lose::nothing || bytes.find(text_) == std::string_view::npos) return Lose::nothing;
    return std::exchange(what_, Lose::nothing);
  }

  void move(Pair& pair, bool from_client) {
    char bytes[65536];
    const auto& source = from_client ? pair.client : pair.server;
    const auto& sink = from_client ? pair.server : pair.client;
    const auto count = ::recv(source.get(), bytes, sizeof bytes, 0);
    if (count <= 0 || (!from_client && pair.loses_answer)) {
      pair.over = true;
      return;
    }
    const std::string_view text(bytes, static_cast<std::size_t>(count));
    const auto lost = from_client ? look(text) : Lose::nothing;
    if (lost == Lose::answer) pair.loses_answer = true;
    if (lost == Lose::request || !base::write_all(sink.get(), text)) pair.over = true;
  }

  void pass() {
    while (!over_) {
      if (cut_) {
        pairs_.clear();
        cut_ = false;
      }
      std::vector<pollfd> sources{{listener_.get(), POLLIN, 0}};
      for (const auto& pair : pairs_) {
        sources.push_back({pair.client.get(), POLLIN, 0});
        sources.push_back({pair.server.get(), POLLIN, 0});
      }
      ::poll(sources.data(), sources.size(), 2);
      std::size_t at = 1;
      for (auto& pair : pairs_) {
        if (sources[at].revents != 0) move(pair, true);
        if (!pair.over && sources[at + 1].revents != 0) move(pair, false);
        at += 2;
      }
      pairs_.remove_if([](const Pair& pair) { return pair.over; });
      if (sources[0].revents != 0) accept_one();
    }
  }

  const std::filesystem::path target_;
  testing::TempDir folder_;
  base::Fd listener_;
  std::list<Pair> pairs_;  // the thread's
  std::atomic<bool> over_ = false;
  std::atomic<bool> cut_ = false;
  std::atomic<bool> refuses_ = false;
  std::mutex mutex_;
  std::string text_;           // guarded by mutex_
  Lose what_ = Lose::nothing;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace agentrouter::store::postgres
