#include "git/push_command.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <csignal>

#include "base/fd.h"
#include "base/redactor.h"
#include "base/shown.h"
#include "git/push.h"
#include "workspace/beneath.h"
#include "workspace/file_request.h"
#include "workspace/self_limits.h"

namespace agentrouter::git {

using base::Result;

namespace {

constexpr std::chrono::minutes wall_time{10};
constexpr std::size_t order_bytes = 256 * 1024;

// Where the base tree has its objects, when it has all of them.
std::string objects_of(int base) {
  if (!workspace::open_beneath(base, ".git/objects", O_PATH | O_DIRECTORY, workspace::Mounts::refuse)) return {};
  if (workspace::open_beneath(base, ".git/shallow", O_PATH, workspace::Mounts::refuse)) return {};
  return "/proc/self/fd/" + std::to_string(base) + "/.git/objects";
}

Result<Pushed> push_kept() {
  AGENTROUTER_TRY(const auto text, base::read_all(workspace::push_fd::request, order_bytes));
  AGENTROUTER_TRY(const auto order, workspace::parse_push_order(text));
  // A remote may say what it was given.
  base::hide_in_logs(
      base::Redactor(std::vector<std::string_view>{order.request.secret}, base::system_entropy()));
  AGENTROUTER_TRY(const auto view, workspace::FileView::kept(workspace::push_fd::base, workspace::push_fd::state));
  return push(view, order.request, order.scratch, objects_of(workspace::push_fd::base));
}

}  // namespace

int run_push() {
  ::signal(SIGPIPE, SIG_IGN);
  (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  workspace::limit_self(wall_time);
  auto pushed = push_kept();
  if (!pushed) pushed.error().message = base::shown(pushed.error().message);
  const auto text = pushed ? workspace::to_json(*pushed) : base::to_text(workspace::error_head(pushed.error()));
  return base::write_all(workspace::push_fd::answer, text) ? 0 : 1;
}

}  // namespace agentrouter::git
