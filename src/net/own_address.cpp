#include "net/own_address.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/fd.h"
#include "base/log.h"

namespace agentrouter::net {

namespace {

namespace ip = boost::asio::ip;

constexpr std::size_t longest_answer = 8192;

struct Question {
  nlmsghdr head{};
  rtmsg route{};
  rtattr attribute{};
  std::array<unsigned char, 16> destination{};
};

template <class Bytes>
void ask_about(Question& question, unsigned char family, const Bytes& bytes) {
  std::copy(bytes.begin(), bytes.end(), question.destination.begin());
  question.route.rtm_family = family;
  question.route.rtm_dst_len = static_cast<unsigned char>(bytes.size() * 8);
  question.attribute.rta_type = RTA_DST;
  question.attribute.rta_len = static_cast<unsigned short>(RTA_LENGTH(bytes.size()));
  question.head.nlmsg_len = NLMSG_LENGTH(sizeof(rtmsg)) + RTA_ALIGN(question.attribute.rta_len);
}

Question question_about(const ip::address& address) {
  Question question;
  question.head.nlmsg_type = RTM_GETROUTE;
  question.head.nlmsg_flags = NLM_F_REQUEST;
  if (address.is_v4())
    ask_about(question, AF_INET, address.to_v4().to_bytes());
  else if (address.to_v6().is_v4_mapped())
    ask_about(question, AF_INET, ip::make_address_v4(ip::v4_mapped, address.to_v6()).to_bytes());
  else
    ask_about(question, AF_INET6, address.to_v6().to_bytes());
  return question;
}

template <class Record>
std::optional<Record> record_at(std::string_view bytes, std::size_t at) {
  if (bytes.size() < at + sizeof(Record)) return std::nullopt;
  Record record;
  std::memcpy(&record, bytes.data() + at, sizeof record);
  return record;
}

base::Result<bool> answered(std::string_view bytes) {
  const auto head = record_at<nlmsghdr>(bytes, 0);
  if (head && head->nlmsg_type == RTM_NEWROUTE) {
    if (const auto route = record_at<rtmsg>(bytes, NLMSG_HDRLEN)) return route->rtm_type == RTN_LOCAL;
  }
  if (head && head->nlmsg_type == NLMSG_ERROR) {
    const auto said = record_at<nlmsgerr>(bytes, NLMSG_HDRLEN);
    const int error = said ? -said->error : EBADMSG;
    if (error == ENETUNREACH || error == EHOSTUNREACH) return false;
    return base::fail_errno("cannot ask for a route", error);
  }
  return base::fail(base::Code::invalid, "the kernel's answer about a route is none");
}

}  // namespace

base::Result<bool> is_own_address(const ip::address& address) {
  const base::Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return base::fail_errno("cannot ask for a route", errno);
  const auto question = question_about(address);
  if (::send(socket.get(), &question, question.head.nlmsg_len, 0) < 0)
    return base::fail_errno("cannot ask for a route", errno);
  std::array<char, longest_answer> answer;
  const auto got = ::recv(socket.get(), answer.data(), answer.size(), 0);
  if (got < 0) return base::fail_errno("cannot read a route", errno);
  return answered({answer.data(), static_cast<std::size_t>(got)});
}

std::vector<ip::address> reachable(std::vector<ip::address> found, Reach reach) {
  std::erase_if(found, [reach](const ip::address& address) {
    if (!may_reach(address, reach)) return true;
    if (reach != Reach::public_only) return false;
    const auto own = is_own_address(address);
    if (!own)
      base::log(base::LogLevel::warn, "an address cannot be judged, and is not connected to",
                {{"cause", own.error().message}});
    return !own || *own;
  });
  return found;
}

}  // namespace agentrouter::net
