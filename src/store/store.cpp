#include "store/store.h"

#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/this_coro.hpp>

namespace agentrouter::store {
namespace {

using Done = std::function<void(std::exception_ptr)>;

// Calls `submit` with what resumes the waiting task on its own executor.
base::Task<void> until_done(const std::function<void(Done)>& submit) {
  const base::Executor home = co_await base::this_executor;
  co_await asio::async_initiate<const asio::use_awaitable_t<base::Executor>, void(std::exception_ptr)>(
      [home, &submit](auto handler) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        auto keep_alive = asio::prefer(home, asio::execution::outstanding_work.tracked);
        submit([shared, keep_alive](std::exception_ptr error) {
          asio::post(keep_alive, [shared, error]() mutable { std::move (*shared)(error); });
        });
      },
      base::use_task);
}

}  // namespace

base::Task<void> Store::perform_write(const WriteWork& work) {
  const std::function<void(Done)> submit = [this, &work](Done done) { submit_write(work, std::move(done)); };
  const auto begun = base::SteadyClock::now();
  co_await until_done(submit);
  figures_.seconds.add(std::chrono::duration<double>(base::SteadyClock::now() - begun).count());
}

base::Task<void> Store::perform_read(const ReadWork& work) {
  const std::function<void(Done)> submit = [this, &work](Done done) { submit_read(work, std::move(done)); };
  co_await until_done(submit);
}

}  // namespace agentrouter::store
