#include "scripted_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace agentrouter::scripted {
namespace {

std::string route_of(const Request& request) {
  return request.method + " " + request.target.substr(0, request.target.find('?'));
}

std::optional<Request> parse_head(std::string_view head) {
  Request request;
  const auto line = head.substr(0, head.find("\r\n"));
  const auto first = line.find(' ');
  const auto second = line.find(' ', first + 1);
  if (first == line.npos || second == line.npos) return std::nullopt;
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, second - first - 1);
  for (auto at = line.size() + 2; at < head.size();) {
    const auto end = std::min(head.find("\r\n", at), head.size());
    const auto field = head.substr(at, end - at);
    if (const auto colon = field.find(':'); colon != field.npos) {
      std::string name(field.substr(0, colon));
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
      auto value = field.substr(colon + 1);
      while (value.starts_with(' ')) value.remove_prefix(1);
      request.headers[name] = value;
    }
    at = end + 2;
  }
  return request;
}

std::optional<Request> read_request(int socket, std::string& buffer) {
  const auto more = [&] {
    char bytes[16384];
    const auto got = ::recv(socket, bytes, sizeof bytes, 0);
    if (got > 0) buffer.append(bytes, static_cast<std::size_t>(got));
    return got > 0;
  };
  auto end = std::string::npos;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return std::nullopt;
  }
  auto request = parse_head(std::string_view(buffer).substr(0, end));
  if (!request) return std::nullopt;
  const auto length = request->header("content-length");
  const auto whole = end + 4 + (length.empty() ? 0 : std::stoul(length));
  while (buffer.size() < whole) {
    if (!more()) return std::nullopt;
  }
  request->body = buffer.substr(end + 4, whole - end - 4);
  buffer.erase(0, whole);
  return request;
}

Handler stream(std::vector<std::string> pieces, bool hold) {
  return [pieces = std::move(pieces), hold](Connection& connection, const Request&) {
    connection.send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n");
    for (const auto& piece : pieces) connection.send(piece);
    if (hold) connection.hold();
    connection.close();
  };
}

}  // namespace

std::string Request::header(const std::string& name) const {
  const auto at = headers.find(name);
  return at == headers.end() ? std::string() : at->second;
}

void Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return close();
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void Connection::reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

void Connection::hold() {
  char byte = 0;
  while (::recv(socket_, &byte, 1, 0) > 0) {
  }
}

Handler reply(int status, std::string body, std::string extra_headers, std::string content_type) {
  return [=](Connection& connection, const Request&) {
    connection.send("HTTP/1.1 " + std::to_string(status) + " X\r\ncontent-type: " + content_type +
                    "\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" + extra_headers + "\r\n" +
                    body);
  };
}

Handler event_stream(std::vector<std::string> pieces) {
  return stream(std::move(pieces), false);
}
Handler open_stream(std::vector<std::string> pieces) {
  return stream(std::move(pieces), true);
}
Handler silence() {
  return [](Connection& connection, const Request&) { connection.hold(); };
}

std::string event_json(int sequence, std::string_view type, std::string_view payload) {
  return R"({"runId":"run_1","sequence":)" + std::to_string(sequence) + R"(,"type":")" + std::string(type) +
         R"(","source":"worker","visibility":"public","payload":)" + std::string(payload) +
         R"(,"isTruncated":false,"createdAt":"2026-11-24T13:38:23.007Z"})";
}

std::string frame(int sequence, std::string_view type, std::string_view payload) {
  return "id: " + std::to_string(sequence) + "\nevent: " + std::string(type) +
         "\ndata: " + event_json(sequence, type, payload) + "\n\n";
}

std::string error_json(std::string_view code, std::string_view message, std::string_view details) {
  return R"({"error":{"code":")" + std::string(code) + R"(","message":")" + std::string(message) +
         R"(","details":)" + std::string(details) + "}}";
}

ScriptedServer::ScriptedServer() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 64) != 0) {
    throw std::runtime_error("cannot listen");
  }
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

ScriptedServer::~ScriptedServer() {
  refuse();
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  for (auto& worker : workers_) worker.join();
}

void ScriptedServer::refuse() {
  if (listener_ < 0) return;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(std::exchange(listener_, -1));
}

void ScriptedServer::on(const std::string& route, Handler handler) {
  const std::lock_guard lock(mutex_);
  auto& queue = queues_[route];
  if (std::exchange(queue.last_has_served, false)) queue.handlers.clear();
  queue.handlers.push_back(std::move(handler));
}

std::vector<Request> ScriptedServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::vector<Request> ScriptedServer::requests(const std::string& route) const {
  auto all = requests();
  std::erase_if(all, [&](const Request& request) { return route_of(request) != route; });
  return all;
}

void ScriptedServer::wait_for(const std::string& route, std::size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return static_cast<std::size_t>(std::ranges::count(requests_, route, route_of)) >= count;
  });
}

void ScriptedServer::accept_loop() {
  for (;;) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    workers_.emplace_back([this, socket] { serve(socket); });
  }
}

void ScriptedServer::serve(int socket) {
  std::string buffer;
  Connection connection(socket);
  while (!connection.closing()) {
    const auto request = read_request(socket, buffer);
    if (!request) break;
    take (*request)(connection, *request);
  }
  const std::lock_guard lock(mutex_);
  std::erase(sockets_, socket);
  ::close(socket);
}

Handler ScriptedServer::take(const Request& request) {
  const std::lock_guard lock(mutex_);
  requests_.push_back(request);
  changed_.notify_all();
  auto& queue = queues_[route_of(request)];
  if (queue.handlers.empty()) return reply(404, error_json("not_found", "no such route"));
  auto handler = queue.handlers.front();
  queue.last_has_served = queue.handlers.size() == 1;
  if (!queue.last_has_served) queue.handlers.pop_front();
  return handler;
}

}  // namespace agentrouter::scripted
