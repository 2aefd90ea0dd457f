#include "egress/ssh_session.h"

#include <libssh2.h>
#include <sodium.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>

namespace agentrouter::egress {

using base::Code;
using base::fail;
using base::Result;
using base::Task;

namespace {

constexpr std::size_t ssh_piece_bytes = 32 * 1024;
constexpr std::size_t most_complaint = 400;

using SshSocket = asio::basic_stream_socket<asio::ip::tcp, base::Executor>;

struct FreeKnownHosts {
  void operator()(LIBSSH2_KNOWNHOSTS* hosts) const { ::libssh2_knownhost_free(hosts); }
};

int key_type_of(int type) {
  switch (type) {
    case LIBSSH2_HOSTKEY_TYPE_RSA:
      return LIBSSH2_KNOWNHOST_KEY_SSHRSA;
    case LIBSSH2_HOSTKEY_TYPE_ECDSA_256:
      return LIBSSH2_KNOWNHOST_KEY_ECDSA_256;
    case LIBSSH2_HOSTKEY_TYPE_ECDSA_384:
      return LIBSSH2_KNOWNHOST_KEY_ECDSA_384;
    case LIBSSH2_HOSTKEY_TYPE_ECDSA_521:
      return LIBSSH2_KNOWNHOST_KEY_ECDSA_521;
    case LIBSSH2_HOSTKEY_TYPE_ED25519:
      return LIBSSH2_KNOWNHOST_KEY_ED25519;
    default:
      return LIBSSH2_KNOWNHOST_KEY_UNKNOWN;
  }
}

// The text of the private key and a NUL, for as long as it is needed: libssh2 looks for one, whatever length it
// is told.
Result<SecretBuffer> decoded_key(const Secret& key) {
  const auto text = key.view();
  SecretBuffer buffer(text.size() + 1);
  std::size_t size = 0;
  std::string scratch(text.size(), '\0');
  const int status =
      ::sodium_base642bin(reinterpret_cast<unsigned char*>(scratch.data()), scratch.size(), text.data(),
                          text.size(), nullptr, &size, nullptr, sodium_base64_VARIANT_ORIGINAL);
  if (status == 0) buffer.append(std::string_view(scratch).substr(0, size));
  if (status == 0) buffer.append(std::string_view("", 1));
  ::sodium_memzero(scratch.data(), scratch.size());
  if (status != 0) return fail(Code::invalid, "the private key cannot be read");
  return buffer;
}

}  // namespace

// Outlives the session while a wait is under way.
struct SshSession::Socket {
  explicit Socket(base::Executor executor) : stream(executor) {}
  SshSocket stream;
  base::Event* listener = nullptr;  // whom a wait that ends wakes
  bool reading = false;
  bool writing = false;
};

// An event of one coroutine is woken no longer than that lives.
class SshSession::Listening {
 public:
  Listening(Socket& socket, base::Event& event) : socket_(socket) { socket_.listener = &event; }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  ~Listening() { socket_.listener = nullptr; }

 private:
  Socket& socket_;
};

void SshSession::Closer::operator()(_LIBSSH2_SESSION* session) const {
  (void)::libssh2_session_free(session);
}

SshSession::SshSession(base::Executor executor, base::Fd socket)
    : socket_(std::make_shared<Socket>(executor)) {
  [[maybe_unused]] static const int started = ::libssh2_init(0);
  socket_->stream.assign(asio::ip::tcp::v4(), socket.release());
  boost::system::error_code ignored;
  socket_->stream.native_non_blocking(true, ignored);
  session_.reset(::libssh2_session_init_ex(nullptr, nullptr, nullptr, nullptr));
  if (!session_) base::throw_failure(Code::unavailable, "no ssh session could be made");
  ::libssh2_session_set_blocking(session_.get(), 0);
}

// Nothing more is said to the server: freeing ends at once.
SshSession::~SshSession() {
  socket_->listener = nullptr;
  boost::system::error_code ignored;
  (void)::shutdown(socket_->stream.native_handle(), SHUT_RDWR);
  session_.reset();
  socket_->stream.close(ignored);
}

tl::unexpected<base::Error> SshSession::failed(const char* what) const {
  char* text = nullptr;
  int size = 0;
  const int code = ::libssh2_session_last_error(session_.get(), &text, &size, 0);
  const std::string words(text ? text : "", text ? static_cast<std::size_t>(size) : 0);
  if (code == LIBSSH2_ERROR_AUTHENTICATION_FAILED || code == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED)
    return fail(Code::denied, std::string(what) + ": " + words, "unauthorized");
  return fail(Code::unavailable, std::string(what) + ": " + words);
}

// Until `step` says something else than "again".
Task<Result<void>> SshSession::drive(std::function<int()> step, const char* what, base::Deadline deadline) {
  base::Event ready(co_await base::this_executor);
  const Listening listening(*socket_, ready);
  for (;;) {
    const int status = step();
    if (status == 0) co_return Result<void>();
    if (status != LIBSSH2_ERROR_EAGAIN) co_return failed(what);
    wait_for_socket();
    const bool woken = co_await ready.wait_until(deadline);
    if (!woken) co_return fail(Code::timeout, std::string(what) + ": took too long");
  }
}

void SshSession::watch(base::Event& changed) {
  socket_->listener = &changed;
  wait_for_socket();
}

void SshSession::wait_for_socket() {
  const auto socket = socket_;
  const int directions = ::libssh2_session_block_directions(session_.get());
  const auto wait = [&](SshSocket::wait_type type, bool Socket::* under_way) {
    if ((*socket).*under_way) return;
    (*socket).*under_way = true;
    socket->stream.async_wait(type, [socket, under_way](boost::system::error_code) {
      (*socket).*under_way = false;
      if (socket->listener) socket->listener->notify();
    });
  };
  wait(SshSocket::wait_read, &Socket::reading);
  if ((directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0) wait(SshSocket::wait_write, &Socket::writing);
}

Result<void> SshSession::check_host_key(const SshGateConfig& config) {
  std::size_t size = 0;
  int type = 0;
  const char* key = ::libssh2_session_hostkey(session_.get(), &size, &type);
  const std::unique_ptr<LIBSSH2_KNOWNHOSTS, FreeKnownHosts> hosts(::libssh2_knownhost_init(session_.get()));
  if (!key || !hosts) return fail(Code::unavailable, "the server has no host key");
  std::string_view rest = config.known_hosts;
  while (!rest.empty()) {
    // With its end: libssh2 takes off the last byte of a key that has none.
    const auto line = std::string(rest.substr(0, rest.find('\n'))) + "\n";
    rest.remove_prefix(std::min(line.size(), rest.size()));
    // A line that is not understood makes no host known.
    (void)::libssh2_knownhost_readline(hosts.get(), line.data(), line.size(), LIBSSH2_KNOWNHOST_FILE_OPENSSH);
  }
  const int mask = LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW | key_type_of(type);
  const int port = config.port == 22 ? -1 : config.port;
  const int verdict =
      ::libssh2_knownhost_checkp(hosts.get(), config.host.c_str(), port, key, size, mask, nullptr);
  if (verdict == LIBSSH2_KNOWNHOST_CHECK_MATCH) return {};
  const char* why =
      verdict == LIBSSH2_KNOWNHOST_CHECK_MISMATCH ? "is not the one in known_hosts" : "is not in known_hosts";
  return fail(Code::denied, "the host key of " + config.host + " " + why, "untrusted");
}

Task<Result<void>> SshSession::start(const SshGateConfig& config, const std::string& command) {
  const auto deadline = base::after(config.connect_timeout);
  auto* const session = session_.get();
  const auto kinds = known_key_kinds(config.known_hosts);
  if (kinds.empty() || ::libssh2_session_method_pref(session, LIBSSH2_METHOD_HOSTKEY, kinds.c_str()) != 0)
    co_return fail(Code::denied, "known_hosts holds no host key of a kind that can be used", "untrusted");
  const int fd = socket_->stream.native_handle();
  auto done = co_await drive([session, fd] { return ::libssh2_session_handshake(session, fd); },
                             "the ssh session cannot be opened", deadline);
  if (!done) co_return done;
  done = check_host_key(config);
  if (!done) co_return done;
  auto key = decoded_key(*config.key);
  if (!key) co_return tl::unexpected(std::move(key).error());
  const auto text = key->view().substr(0, key->size() - 1);
  const auto& user = config.user;
  const auto log_in = [session, text, &user] {
    return ::libssh2_userauth_publickey_frommemory(session, user.data(), user.size(), nullptr, 0, text.data(),
                                                   text.size(), nullptr);
  };
  done = co_await drive(log_in, "the server does not take the key", deadline);
  if (!done) co_return done;
  const auto open = [this, session] {
    channel_ = ::libssh2_channel_open_session(session);
    return channel_ ? 0 : ::libssh2_session_last_errno(session);
  };
  done = co_await drive(open, "the server opens no channel", deadline);
  if (!done) co_return done;
  const auto run = [this, &command] { return ::libssh2_channel_exec(channel_, command.c_str()); };
  co_return co_await drive(run, "the server does not run git", deadline);
}

Result<std::size_t> SshSession::write(std::string_view bytes) {
  const auto written = ::libssh2_channel_write(channel_, bytes.data(), bytes.size());
  const bool again = written == LIBSSH2_ERROR_EAGAIN;
  may_read_ =
      !again || (::libssh2_session_block_directions(session_.get()) & LIBSSH2_SESSION_BLOCK_OUTBOUND) == 0;
  if (again) return std::size_t{0};
  if (written < 0) return failed("the connection to the server broke");
  return static_cast<std::size_t>(written);
}

Result<std::string> SshSession::read() {
  std::string piece(ssh_piece_bytes, '\0');
  const auto complained = ::libssh2_channel_read_stderr(channel_, piece.data(), piece.size());
  if (complained > 0) {
    complaint_.append(piece, 0, static_cast<std::size_t>(complained));
    if (complaint_.size() > most_complaint) complaint_.erase(0, complaint_.size() - most_complaint);
  }
  const auto got = ::libssh2_channel_read(channel_, piece.data(), piece.size());
  if (got == LIBSSH2_ERROR_EAGAIN) return std::string();
  if (got < 0) return failed("the connection to the server broke");
  piece.resize(static_cast<std::size_t>(got));
  return piece;
}

bool SshSession::ended() const {
  return ::libssh2_channel_eof(channel_) == 1;
}

}  // namespace agentrouter::egress
