// The way out to other hosts: every IPv4 address is this sandbox's own, so that connections to any of them
// arrive at listeners that are accepted outside.

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/init/stages.h"
#include "sandbox/init/system.h"

namespace agentrouter::sandbox::init {
namespace {

constexpr unsigned names_port = 53;
constexpr int out_backlog = 256;

// Not 127.0.0.1: without an address beside it getaddrinfo(AI_ADDRCONFIG) finds no IPv4. Of TEST-NET-1, which
// nobody has.
constexpr std::uint32_t own_address = 0xc0000201;

struct Attribute {
  rtattr header;
  std::uint32_t value;
};

struct RouteRequest {
  nlmsghdr header;
  rtmsg route;
  Attribute interface;
};

struct AddressRequest {
  nlmsghdr header;
  ifaddrmsg address;
  Attribute local;
};

struct Acknowledgement {
  nlmsghdr header;
  nlmsgerr error;
};

Attribute attribute(unsigned short type, std::uint32_t value) {
  return {{RTA_LENGTH(sizeof value), type}, value};
}

// One question to the kernel and its word.
template <class Request>
void ask_kernel(int netlink, std::uint16_t type, Request& request, const char* stage) {
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
  require(::send(netlink, &request, sizeof request, 0) == sizeof request, stage);
  char buffer[512];
  const auto got = recv(netlink, buffer, sizeof buffer, 0);
  Acknowledgement answer{};
  errno = EPROTO;
  require(got >= static_cast<ssize_t>(sizeof answer), stage);
  memcpy(&answer, buffer, sizeof answer);
  errno = answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EPROTO;
  require(errno == 0, stage);
}

// `ip address add 192.0.2.1/32 dev lo; ip route add local 0.0.0.0/0 dev lo`
void make_everything_local() {
  const auto interface = if_nametoindex("lo");
  const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  require(netlink >= 0 && interface != 0, "make the way out");
  AddressRequest own{};
  own.address.ifa_family = AF_INET;
  own.address.ifa_prefixlen = 32;
  own.address.ifa_index = interface;
  own.local = attribute(IFA_LOCAL, htonl(own_address));
  ask_kernel(netlink, RTM_NEWADDR, own, "take an address");
  RouteRequest all{};
  all.route.rtm_family = AF_INET;
  all.route.rtm_table = RT_TABLE_LOCAL;
  all.route.rtm_protocol = RTPROT_BOOT;
  all.route.rtm_scope = RT_SCOPE_HOST;
  all.route.rtm_type = RTN_LOCAL;
  all.interface = attribute(RTA_OIF, interface);
  ask_kernel(netlink, RTM_NEWROUTE, all, "make the way out");
  close(netlink);
}

int open_socket(int type, std::uint32_t address, unsigned port, const char* stage) {
  const int opened = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  require(opened >= 0, stage);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(static_cast<std::uint16_t>(port));
  place.sin_addr.s_addr = address;
  if (type == SOCK_STREAM) share_port(opened);
  require(bind(opened, reinterpret_cast<sockaddr*>(&place), sizeof place) == 0, stage);
  if (type == SOCK_STREAM) require(listen(opened, out_backlog) == 0, stage);
  return opened;
}

}  // namespace

void share_port(int listener) {
  const int on = 1;
  require(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0, "share the listener's port");
}

unsigned open_outbound(const Setup& setup, int* sockets) {
  if (setup.spec.outbound_count == 0) return 0;
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_host_network) return 0;
#endif
  make_everything_local();
  unsigned count = 0;
  sockets[count++] = open_socket(SOCK_DGRAM, setup.address, names_port, "answer names");
  sockets[count++] = open_socket(SOCK_STREAM, setup.address, names_port, "answer names");
  for (unsigned i = 0; i < setup.spec.outbound_count; ++i)
    sockets[count++] = open_socket(SOCK_STREAM, INADDR_ANY, setup.spec.outbound_ports[i], "open the way out");
  return count;
}

}  // namespace agentrouter::sandbox::init
