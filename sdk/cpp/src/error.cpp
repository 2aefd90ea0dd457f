#include <agentrouter/error.hpp>
#include <utility>

namespace agentrouter {

struct Error::Fields {
  std::string code;
  std::string message;
  Json details;
  int status = 0;
  std::string what;
};

Error::Error(std::string code, std::string message, Json details, int status) {
  auto what = code + ": " + message;
  fields_ = std::make_shared<const Fields>(
      Fields{std::move(code), std::move(message), std::move(details), status, std::move(what)});
}

const std::string& Error::code() const noexcept {
  return fields_->code;
}
const std::string& Error::message() const noexcept {
  return fields_->message;
}
const Json& Error::details() const noexcept {
  return fields_->details;
}
int Error::status() const noexcept {
  return fields_->status;
}
const char* Error::what() const noexcept {
  return fields_->what.c_str();
}

}  // namespace agentrouter
