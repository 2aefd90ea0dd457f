#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "base/hash.h"
#include "base/task_scope.h"
#include "keeper/fetch/fetcher.h"

namespace agentrouter::keeper {

namespace {

constexpr std::size_t batch_objects = 100;

using Sink = asio::posix::basic_stream_descriptor<base::Executor>;

tl::unexpected<FetchFailure> no_lfs(std::string cause, std::string message) {
  return tl::unexpected(FetchFailure{std::move(cause), std::move(message)});
}

tl::unexpected<FetchFailure> lfs_failure(const base::Error& error) {
  if (error.reason == "unauthorized") {
    return no_lfs("workspace_auth_failed",
                  error.message +
                      " about LFS objects: the server's credential for this host is missing, wrong or "
                      "not allowed to read them");
  }
  if (error.code == base::Code::timeout) return no_lfs("workspace_timeout", error.message);
  return no_lfs("workspace_unavailable", error.message);
}

// What is sent to the program inside that writes it down.
struct Sending {
  base::Result<void> done;
  base::Sha256 hash;
};

base::Task<base::Result<void>> pass_on(Sink& sink, base::Sha256& hash, std::string_view piece) {
  hash.update(piece);
  boost::system::error_code error;
  co_await asio::async_write(sink, asio::buffer(piece), asio::redirect_error(base::use_task, error));
  if (error)
    co_return base::fail(base::Code::unavailable, "an LFS object cannot be written: " + error.message());
  co_return base::Result<void>();
}

base::Task<void> send_object(egress::LfsClient& lfs, const egress::LfsSource& source, base::Fd pipe,
                             Sending& sending) {
  Sink sink(co_await base::this_executor, pipe.release());
  const egress::LfsClient::Take take = [&](std::string_view piece) {
    return pass_on(sink, sending.hash, piece);
  };
  sending.done = co_await lfs.download(source, take);
}

}  // namespace

using LfsOutcome = tl::expected<void, FetchFailure>;

base::Task<tl::expected<std::vector<LfsPointer>, FetchFailure>> Fetch::lfs_pointers(const ResolvedRef& at) {
  PointerList list;
  const Reader reader = [&](std::string_view piece) {
    list.feed(piece);
    return list.pointers().size() <= lfs_objects_at_most;
  };
  const auto listed = co_await run(find_pointers(at), reader);  // fails when there is none
  if (!listed) co_return tl::unexpected(listed.error());
  list.finish();
  const auto& subdir = needs_.plan.source.subdir;
  std::vector<LfsPointer> wanted;
  std::uint64_t bytes = 0;
  for (const auto& pointer : list.pointers()) {
    if (!subdir.empty() && !pointer.path.starts_with(subdir + "/")) continue;
    bytes += pointer.size;
    wanted.push_back(pointer);
    if (bytes > needs_.plan.bytes) co_return tl::unexpected(too_large("what LFS holds"));
  }
  if (list.pointers().size() > lfs_objects_at_most) {
    co_return no_lfs("workspace_too_large",
                     "the commit has more than " + std::to_string(lfs_objects_at_most) + " LFS objects");
  }
  co_return wanted;
}

base::Task<LfsOutcome> Fetch::fill_lfs(const ResolvedRef& at) {
  auto pointers = co_await lfs_pointers(at);
  if (!pointers) co_return tl::unexpected(pointers.error());
  std::vector<std::string> paths;
  for (const auto& pointer : *pointers) paths.push_back(pointer.path);
  for (std::size_t from = 0; from < pointers->size(); from += batch_objects) {
    const auto end = std::min(from + batch_objects, pointers->size());
    const auto begin = pointers->begin();
    std::vector<LfsPointer> some(begin + static_cast<std::ptrdiff_t>(from),
                                 begin + static_cast<std::ptrdiff_t>(end));
    auto done = co_await get_lfs(std::move(some));
    if (!done) co_return done;
    std::vector<std::string> names(paths.begin() + static_cast<std::ptrdiff_t>(from),
                                   paths.begin() + static_cast<std::ptrdiff_t>(end));
    done = co_await must(assume_unchanged(names));
    if (!done) co_return done;
  }
  co_return LfsOutcome();
}

base::Task<LfsOutcome> Fetch::get_lfs(std::vector<LfsPointer> pointers) {
  if (needs_.lfs == nullptr) {
    for (const auto& pointer : pointers) {
      auto copied = co_await copy_lfs(pointer);
      if (!copied) co_return copied;
    }
    co_return LfsOutcome();
  }
  std::vector<egress::LfsObject> objects;
  for (const auto& pointer : pointers) objects.push_back({pointer.oid, pointer.size});
  auto sources = co_await needs_.lfs->batch(std::move(objects));
  if (!sources) co_return lfs_failure(sources.error());
  for (std::size_t i = 0; i < pointers.size(); ++i) {
    auto stored = co_await store_object((*sources)[i], pointers[i].path);
    if (!stored) co_return stored;
  }
  co_return LfsOutcome();
}

base::Task<LfsOutcome> Fetch::store_object(const egress::LfsSource& source, std::string path) {
  auto pipe = base::make_pipe();
  if (!pipe) co_return no_lfs("workspace_unavailable", "no pipe could be made");
  Sending sending;
  base::TaskScope beside(needs_.executor);
  beside.spawn(send_object(*needs_.lfs, source, std::move(pipe->second), sending));
  const auto written = co_await run(write_object(path), {}, -1, pipe->first.get());
  pipe->first.reset();
  co_await beside.cancel_and_join();
  if (!written) co_return tl::unexpected(written.error());
  if (!sending.done) co_return lfs_failure(sending.done.error());
  if (!written->worked) co_return tl::unexpected(failure(*written));
  if (sending.hash.hex() != source.object.oid)
    co_return no_lfs("workspace_unavailable", "the LFS object " + source.object.oid + " has other content");
  co_return LfsOutcome();
}

// Of a folder of this machine.
base::Task<LfsOutcome> Fetch::copy_lfs(LfsPointer pointer) {
  const auto copied = co_await run(copy_object(pointer));
  if (!copied) co_return tl::unexpected(copied.error());
  if (!copied->worked)
    co_return no_lfs("workspace_unavailable", "the repository does not have the LFS object " + pointer.oid);
  const auto hashed = co_await run(hash_of_file(pointer.path));
  if (!hashed) co_return tl::unexpected(hashed.error());
  if (!hashed->out.starts_with(pointer.oid + " "))
    co_return no_lfs("workspace_unavailable", "the LFS object " + pointer.oid + " has other content");
  co_return LfsOutcome();
}

}  // namespace agentrouter::keeper
