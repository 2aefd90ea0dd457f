#include "keeper/credential_boundary.h"

#include <algorithm>
#include <charconv>

#include "keeper/helper.h"

namespace agentrouter::keeper {
namespace {

constexpr int needles_fd = 3;
constexpr int report_fd = 4;
constexpr int environment_fd = 5;
constexpr std::size_t needles_bytes = 4u << 20;
constexpr std::size_t environment_bytes = 1u << 20;
constexpr std::string_view image_word = "image";

// One set a line.
std::string text_of(const base::Redactor& secrets) {
  std::string text;
  for (const auto& needles : secrets.needles()) text += needles.to_text() + "\n";
  return text;
}

std::string text_of(const std::vector<std::string>& variables) {
  std::string text;
  for (const auto& variable : variables) text.append(variable).push_back('\0');
  return text;
}

base::Result<std::vector<std::string>> read_environment(int fd) {
  AGENTROUTER_TRY(const std::string text, base::read_all(fd, environment_bytes));
  std::vector<std::string> variables;
  for (std::size_t begin = 0, end = 0; (end = text.find('\0', begin)) != std::string::npos; begin = end + 1)
    variables.push_back(text.substr(begin, end - begin));
  return variables;
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
                                                        BoundaryView::System system,
                                                        const base::Redactor& secrets,
                                                        std::chrono::milliseconds patience) {
  AGENTROUTER_CO_TRY(const base::Fd program, sandbox::open_this_program());
  AGENTROUTER_CO_TRY(const base::Fd needles, base::make_memory_file(text_of(secrets)));
  AGENTROUTER_CO_TRY(const base::Fd environment, base::make_memory_file(text_of(agent.env)));
  AGENTROUTER_CO_TRY(base::FdPair report, base::make_pipe());
  sandbox::Restore request{
      .program = program.get(),
      .argv = {"agentrouter", "check-boundary", text_of(sandbox.outbound_ports()),
               system == BoundaryView::System::of_image ? std::string(image_word) : "host"},
      .env = {},
      .files = {needles.get(), report.second.get(), environment.get()}};
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
  auto environment = read_environment(environment_fd);
  if (!secrets || !environment || arguments.size() < 2) return 1;
  using System = BoundaryView::System;
  const BoundaryView view{.own_descriptors = {0, 1, 2, needles_fd, report_fd, environment_fd},
                          .outbound_ports = ports_of(arguments[0]),
                          .environment = std::move(*environment),
                          .system = arguments[1] == image_word ? System::of_image : System::of_host};
  const auto report = base::to_text(look_around(view, *secrets).to_json());
  return base::write_all(report_fd, report) ? 0 : 1;
}

}  // namespace agentrouter::keeper
