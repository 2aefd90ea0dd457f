#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <cerrno>
#include <csignal>

#include "base/task_scope.h"
#include "keeper/fetch/fetcher.h"

namespace agentrouter::keeper {

using Outcome = tl::expected<void, FetchFailure>;

namespace {

using Pipe = asio::posix::basic_stream_descriptor<base::Executor>;
constexpr std::size_t most_output = 1u << 20;
constexpr std::size_t most_shown = 300;

tl::unexpected<FetchFailure> give_up(std::string cause, std::string message) {
  return tl::unexpected(FetchFailure{std::move(cause), std::move(message)});
}

// The end of what a program said, in one line.
std::string last_words(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (text.size() > most_shown) text.remove_prefix(text.size() - most_shown);
  std::string plain;
  for (const char c : text) plain += c >= ' ' && c <= '~' ? c : ' ';
  return plain;
}

// To its end, whatever the reader says; what it does not want is thrown away.
base::Task<void> drain(Pipe& pipe, std::function<void(std::string_view)> take) {
  std::string buffer(64 * 1024, '\0');
  for (;;) {
    boost::system::error_code error;
    const auto got =
        co_await pipe.async_read_some(asio::buffer(buffer), asio::redirect_error(base::use_task, error));
    if (error) co_return;
    take({buffer.data(), got});
  }
}

}  // namespace

Fetch::Fetch(Needs needs)
    : needs_(std::move(needs)), deadline_(std::chrono::steady_clock::now() + needs_.plan.wall_time) {}

base::Task<Fetch::Step> Fetch::run(Argv argv, Reader reader, int out, int in) {
  auto outputs = base::make_pipe();
  auto errors = base::make_pipe();
  if (!outputs || !errors) co_return give_up("workspace_unavailable", "no pipe could be made");
  const sandbox::Spawn request{.argv = argv,
                               .env = git_environment(),
                               .cwd = sandbox::home_path,
                               .stdio = {in, out < 0 ? outputs->second.get() : out, errors->second.get()}};
  const auto pid = needs_.sandbox.spawn(request);
  outputs->second.reset();
  errors->second.reset();
  if (!pid)
    co_return give_up("workspace_unavailable", argv[0] + " could not be started: " + pid.error().message);
  Ended ended;
  bool wanted = true;
  Pipe out_pipe(needs_.executor, outputs->first.release());
  Pipe err_pipe(needs_.executor, errors->first.release());
  base::TaskScope reading(needs_.executor);
  const std::function<void(std::string_view)> take_out = [&](std::string_view piece) {
    if (reader) {
      wanted = wanted && reader(piece);
    } else if (ended.out.size() < most_output) {
      ended.out.append(piece.substr(0, most_output - ended.out.size()));
    }
  };
  const std::function<void(std::string_view)> take_err = [&](std::string_view piece) {
    ended.err.append(piece);
    if (ended.err.size() > 2 * most_shown) ended.err.erase(0, ended.err.size() - 2 * most_shown);
  };
  reading.spawn(drain(out_pipe, take_out));
  reading.spawn(drain(err_pipe, take_err));
  while (wanted && needs_.notices.exited(*pid) == nullptr && !needs_.notices.gone() &&
         std::chrono::steady_clock::now() < deadline_) {
    co_await needs_.notices.changed().wait_until(
        std::min(deadline_, std::chrono::steady_clock::now() + std::chrono::seconds(1)));
  }
  // What it may have left behind goes, too, so that nothing holds the pipes any more.
  (void)needs_.sandbox.kill_all();
  needs_.notices.poll();
  co_await reading.join();
  const auto* exited = needs_.notices.exited(*pid);
  if (std::chrono::steady_clock::now() >= deadline_)
    co_return give_up("workspace_timeout", "fetching the repository takes too long");
  ended.worked = wanted && exited != nullptr && exited->signal == 0 && exited->code == 0;
  if (wanted && exited != nullptr && exited->signal == SIGXFSZ) co_return tl::unexpected(too_large("a file"));
  co_return ended;
}

FetchFailure Fetch::too_large(const std::string& what) const {
  return {"workspace_too_large", what + " of the repository is larger than " +
                                     std::to_string(needs_.plan.bytes) +
                                     " bytes: ask for less history with depth, or raise git.max_bytes"};
}

FetchFailure Fetch::failure(const Ended& ended) const {
  using egress::GitTrouble;
  const auto words = last_words(ended.err);
  if (needs_.gate != nullptr) {
    const auto& problem = needs_.gate->problem();
    switch (problem.trouble) {
      case GitTrouble::unauthorized:
        return {"workspace_auth_failed",
                problem.message +
                    ": the server's credential for this host is missing, wrong or not allowed to read it"};
      case GitTrouble::too_large:
        return {"workspace_too_large",
                problem.message + ": ask for less history with depth, or raise git.max_bytes"};
      case GitTrouble::untrusted:
        return {"workspace_auth_failed",
                problem.message + ": the server's known_hosts_file for this host must name its key"};
      case GitTrouble::unreachable:
      case GitTrouble::not_found:
      case GitTrouble::redirected:
      case GitTrouble::refused:
        return {"workspace_unavailable", problem.message};
      case GitTrouble::none:
        break;
    }
  }
  if (words.find("signal 25") != std::string::npos || words.find("File too large") != std::string::npos)
    return too_large("a file");
  return {"workspace_unavailable", words.empty() ? "git failed" : words};
}

base::Task<tl::expected<ResolvedRef, FetchFailure>> Fetch::resolve() {
  const auto& source = needs_.plan.source;
  auto listed = co_await run(list_refs(source));
  if (!listed) co_return tl::unexpected(listed.error());
  if (!listed->worked) co_return tl::unexpected(failure(*listed));
  auto found = find_ref(listed->out, source.ref);
  if (found) co_return std::move(*found);
  co_return give_up("workspace_ref_not_found", source.ref.empty()
                                                   ? "the repository has no commit yet"
                                                   : "the repository has no branch or tag " + source.ref);
}

base::Task<Outcome> Fetch::must(Argv argv) {
  const auto ended = co_await run(std::move(argv));
  if (!ended) co_return tl::unexpected(ended.error());
  if (!ended->worked) co_return tl::unexpected(failure(*ended));
  co_return Outcome();
}

base::Task<bool> Fetch::has(std::string object, std::string_view type) {
  const auto ended = co_await run(look_for(object));
  co_return ended && ended->worked && ended->out == std::string(type) + "\n";
}

// The ref may have moved since it was looked up, and not every server gives a commit by its name.
base::Task<Outcome> Fetch::get_objects(const ResolvedRef& at) {
  const auto& source = needs_.plan.source;
  const std::vector<Argv> ways{fetch_ref(source, at), fetch_commit(source, at), fetch_everything()};
  std::optional<FetchFailure> last;
  for (const auto& way : ways) {
    const auto ended = co_await run(way);
    if (!ended) co_return tl::unexpected(ended.error());
    if (!ended->worked) {
      last = failure(*ended);
      const bool final = needs_.gate != nullptr && needs_.gate->problem().trouble != egress::GitTrouble::none;
      if (final) co_return tl::unexpected(*last);
    }
    const bool there = co_await has(at.commit, "commit");
    if (there) co_return Outcome();
  }
  co_return give_up("workspace_ref_not_found", "the repository does not give commit " + at.commit +
                                                   (last ? " (" + last->message + ")" : std::string()));
}

base::Task<Outcome> Fetch::check_size(const ResolvedRef& at) {
  CheckoutSize size;
  const auto& plan = needs_.plan;
  const Reader reader = [&](std::string_view piece) {
    size.feed(piece);
    return size.entries() <= plan.entries && size.bytes() <= plan.bytes;
  };
  const auto listed = co_await run(list_files(at), reader);
  if (!listed) co_return tl::unexpected(listed.error());
  if (size.entries() > plan.entries) {
    co_return give_up("workspace_too_large", "the commit has more than " + std::to_string(plan.entries) +
                                                 " files: raise git.max_entries");
  }
  if (size.bytes() > plan.bytes) co_return tl::unexpected(too_large("the checkout"));
  if (!listed->worked) co_return tl::unexpected(failure(*listed));
  co_return Outcome();
}

base::Task<Outcome> Fetch::check_folder(const ResolvedRef& at) {
  const auto& subdir = needs_.plan.source.subdir;
  if (subdir.empty()) co_return Outcome();
  const bool there = co_await has(at.commit + ":" + subdir, "tree");
  if (there) co_return Outcome();
  co_return give_up("workspace_subdir_not_found", "the commit has no folder " + subdir);
}

base::Task<Outcome> Fetch::pack() {
  const base::Fd file(
      ::openat(needs_.attempt_dir, fetch_file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) co_return give_up("workspace_unavailable", "the tree cannot be written down");
  const auto packed = co_await run(pack_tree(needs_.plan.source), {}, file.get());
  if (!packed) co_return tl::unexpected(packed.error());
  if (!packed->worked) co_return tl::unexpected(failure(*packed));
  co_return Outcome();
}

base::Task<tl::expected<std::vector<Submodule>, FetchFailure>> Fetch::submodules(const ResolvedRef& at) {
  if (!needs_.plan.source.submodules) co_return std::vector<Submodule>();
  LinkList links;
  const Reader reader = [&](std::string_view piece) {
    links.feed(piece);
    return links.links().size() <= submodules_at_most;
  };
  const auto listed = co_await run(list_files(at), reader);
  if (!listed) co_return tl::unexpected(listed.error());
  if (links.links().size() > submodules_at_most) {
    co_return give_up("workspace_too_large",
                      "the commit has more than " + std::to_string(submodules_at_most) + " submodules");
  }
  if (links.links().empty()) co_return std::vector<Submodule>();
  const auto named = co_await run(read_modules(at));  // fails when there is no such file
  if (!named) co_return tl::unexpected(named.error());
  co_return join_submodules(links.links(), named->worked ? named->out : std::string());
}

base::Task<tl::expected<std::vector<Submodule>, FetchFailure>> Fetch::fetch(ResolvedRef at) {
  auto done = co_await check_out_and_pack(at);
  if (!done) co_return tl::unexpected(std::move(done).error());
  co_return co_await submodules(at);
}

base::Task<Outcome> Fetch::check_out_and_pack(const ResolvedRef& at) {
  const auto& source = needs_.plan.source;
  for (auto& argv : make_repository(source, at)) {
    auto done = co_await must(std::move(argv));
    if (!done) co_return done;
  }
  auto done = co_await get_objects(at);
  if (done) done = co_await check_size(at);
  if (done) done = co_await check_folder(at);
  if (!done) co_return done;
  for (auto& argv : check_out(source, at)) {
    done = co_await must(std::move(argv));
    if (!done) co_return done;
  }
  if (source.lfs) done = co_await fill_lfs(at);
  if (!done) co_return done;
  co_return co_await pack();
}

}  // namespace agentrouter::keeper
