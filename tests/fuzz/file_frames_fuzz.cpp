// covers: src/worker/framed_answer.cpp
// The frames that tell of a run's files from arbitrary bytes: no crash, and an answer is whole only when it ends with the empty
// frame.
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "bytes_file.h"
#include "worker/framed_answer.h"

using namespace agentrouter;

namespace {

constexpr std::size_t most_bytes = 64 * 1024;  // what a socket holds without a reader

base::Task<void> read_answer(keeper::LineSocket socket) {
  auto answer = co_await worker::FramedAnswer::open(std::move(socket), {}, {});
  if (!answer) co_return;
  std::size_t seen = 0;
  for (;;) {
    const auto piece = co_await (*answer)->next();
    if (!piece || piece->empty()) break;
    seen += piece->size();
  }
  if (seen > most_bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  asio::io_context io(1);
  {
    const base::Fd theirs(ends[1]);
    if (!base::write_all(theirs.get(), bytes_of(data, std::min(size, most_bytes)))) std::abort();
  }
  keeper::LineSocket socket(keeper::LineSocket::Socket(io.get_executor(), asio::local::stream_protocol(), ends[0]));
  std::exception_ptr broken;
  asio::co_spawn(io.get_executor(), read_answer(std::move(socket)), [&](std::exception_ptr error) { broken = error; });
  io.run();
  if (broken) std::abort();
  return 0;
}
