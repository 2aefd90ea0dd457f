#pragma once
// How a room says that something did not work. `Result` is for callers that are expected to branch,
// `Failure` for the rest: whoever throws it means "give up or retry, nothing here can repair this".

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace agentrouter::base {

// Chosen by what the caller should do, not by what went wrong inside.
enum class Code {
  invalid,      // correct the input
  not_found,    // there is no such thing, or it is not yours
  conflict,     // look again, then decide
  denied,       // a person or a rule must allow it first
  exhausted,    // a limit is reached: free something or raise it
  unavailable,  // try again later
  timeout,      // took too long; what it did is unknown unless the message says so
  cancelled,    // the caller asked for this
  unsupported,  // this build, machine or version cannot
  corrupt,      // stored bytes are not what was written
  internal,     // a defect of ours
};

[[nodiscard]] std::string_view to_string(Code code);

struct Error {
  Code code = Code::internal;
  // Action, object, cause: "cannot open /data/agentrouter.db: permission denied".
  std::string message;
  // The stable word that a program can match, as docs/errors.md lists them ("run_not_found"). May be empty.
  std::string reason = {};
  // A JSON object with facts for the caller, or empty.
  std::string details = {};
};

template <class T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(Code code, std::string message, std::string reason = {},
                                                std::string details = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(reason), std::move(details)});
}

// The same for a failed system call: appends the text of `errno_value` and picks the code from it.
[[nodiscard]] tl::unexpected<Error> fail_errno(std::string action, int errno_value);

class Failure : public std::exception {
 public:
  explicit Failure(Error error) : error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const { return error_; }
  [[nodiscard]] const char* what() const noexcept override { return error_.message.c_str(); }

 private:
  Error error_;
};

[[noreturn]] void throw_failure(Code code, std::string message, std::string reason = {});
[[noreturn]] void throw_errno(std::string action, int errno_value);

// Unwraps, or throws the error as a Failure.
template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw Failure(std::move(result).error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace agentrouter::base

// Aborts when going on could write a false record. Never for bad input.
#define AGENTROUTER_CHECK(expression) \
  ((expression) ? void() : ::agentrouter::base::check_failed(#expression, __FILE__, __LINE__))

#define AGENTROUTER_TRY_CAT_(a, b) a##b
#define AGENTROUTER_TRY_CAT(a, b) AGENTROUTER_TRY_CAT_(a, b)
#define AGENTROUTER_TRY_(leave, name, declaration, expression)         \
  auto name = (expression);                                            \
  if (!name) leave ::tl::unexpected(std::move(name).error());          \
  declaration = std::move(*name)
// AGENTROUTER_TRY(auto run, load(id)); leaves the function with the error. A statement, because the
// expression form crashes g++ 12 in coroutines. AGENTROUTER_CO_TRY is the same inside a coroutine.
#define AGENTROUTER_TRY(declaration, expression) \
  AGENTROUTER_TRY_(return, AGENTROUTER_TRY_CAT(try_result_, __LINE__), declaration, expression)
#define AGENTROUTER_CO_TRY(declaration, expression) \
  AGENTROUTER_TRY_(co_return, AGENTROUTER_TRY_CAT(try_result_, __LINE__), declaration, expression)
