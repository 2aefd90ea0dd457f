#pragma once
// An answer to a request for files on its way: what the API sees of it, wherever it comes from.

#include <memory>
#include <string>

#include "base/asio.h"
#include "workspace/file_request.h"

namespace agentrouter::workspace {

class FileAnswer {
 public:
  virtual ~FileAnswer() = default;
  [[nodiscard]] virtual const json::object& head() const = 0;
  // The next bytes of the content; "" when all of it has come.
  // Errors: unavailable (it was cut off), timeout (nothing comes), corrupt.
  [[nodiscard]] virtual base::Task<base::Result<std::string>> next() = 0;
};

}  // namespace agentrouter::workspace
