#include "keeper/credential_boundary.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "keeper/helper.h"

namespace agentrouter::keeper {
namespace {

constexpr int needles_fd = 3;
constexpr int report_fd = 4;
constexpr std::size_t needles_bytes = 4u << 20;

// One set a line.
base::Result<base::Fd> file_of_needles(const base::Redactor& secrets) {
  base::Fd file(::memfd_create("needles", MFD_CLOEXEC));
  if (!file) return base::fail_errno("cannot make a file in memory", errno);
  for (const auto& needles : secrets.needles()) {
    auto written = base::write_all(file.get(), needles.to_text() + "\n");
    if (!written) return tl::unexpected(std::move(written).error());
  }
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return base::fail_errno("cannot make a file in memory", errno);
  return file;
}

base::Result<base::Redactor> read_needles(int fd) {
  AGENTROUTER_TRY(const std::string text, base::read_all(fd, needles_bytes));
  std::vector<base::Needles> sets;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    AGENTROUTER_TRY(auto needles, base::Needles::parse(std::string_view(text).substr(begin, end - begin)));
    sets.push_back(std::move(needles));
    begin = end + 1;
  }
  return base::Redactor(std::move(sets));
}

std::vector<std::uint16_t> ports_of(std::string_view text) {
  std::vector<std::uint16_t> ports;
  while (!text.empty()) {
    const auto end = std::min(text.find(','), text.size());
    std::uint16_t port = 0;
    if (std::from_chars(text.data(), text.data() + end, port).ec == std::errc()) ports.push_back(port);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return ports;
}

std::string text_of(const std::vector<std::uint16_t>& ports) {
  std::string text = "-";
  for (const auto port : ports) text += "," + std::to_string(port);
  return text;
}

}  // namespace

base::Task<base::Result<BoundaryReport>> check_boundary(Sandbox& sandbox, Notices& notices,
                                                        const agents::AgentProgram& agent,
                                                        const base::Redactor& secrets,
                                                        std::chrono::milliseconds patience) {
  AGENTROUTER_CO_TRY(const base::Fd program, sandbox::open_this_program());
  AGENTROUTER_CO_TRY(const base::Fd needles, file_of_needles(secrets));
  AGENTROUTER_CO_TRY(base::FdPair report, base::make_pipe());
  sandbox::Restore request{.program = program.get(),
                           .argv = {"agentrouter", "check-boundary", text_of(sandbox.outbound_ports())},
                           .env = agent.env,
                           .files = {needles.get(), report.second.get()}};
  for (const auto* arguments : {&agent.argv, &agent.resume_argv})
    request.argv.insert(request.argv.end(), arguments->begin(), arguments->end());
  AGENTROUTER_CO_TRY(const pid_t pid, sandbox.restore(request));
  report.second.reset();
  Helper helper{pid, std::move(report.first), "cannot check the boundary"};
  const auto text = co_await wait_for_report(sandbox, notices, std::move(helper), patience);
  if (!text) co_return tl::unexpected(text.error());
  const auto* exited = notices.exited(pid);
  if (exited == nullptr || exited->code != 0)
    co_return base::fail(base::Code::unavailable, "cannot check the boundary: the process did not end well");
  notices.forget(pid);
  co_return BoundaryReport::parse(*text);
}

int run_boundary_checker(const std::vector<std::string>& arguments) {
  const auto secrets = read_needles(needles_fd);
  if (!secrets) return 1;
  const BoundaryView view{.own_descriptors = {0, 1, 2, needles_fd, report_fd},
                          .outbound_ports = ports_of(arguments.empty() ? "" : arguments[0])};
  const auto report = base::to_text(look_around(view, *secrets).to_json());
  return base::write_all(report_fd, report) ? 0 : 1;
}

}  // namespace agentrouter::keeper
