#include "testing/run_task.h"

#include <boost/asio/co_spawn.hpp>
#include <exception>

namespace agentrouter::testing {

void run_to_end(asio::io_context& io, base::Task<void> task) {
  std::exception_ptr failure;
  bool done = false;
  asio::co_spawn(io.get_executor(), std::move(task), [&](std::exception_ptr error) {
    failure = error;
    done = true;
  });
  while (!done) {
    // The context stops itself when a store's thread lets go of the work of an earlier task: begin again.
    if (io.run_one() == 0) io.restart();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace agentrouter::testing
