#pragma once
// Whether those who follow something for long may yet. The store is asked, since another server may have
// revoked the key; and all who ask while it is being asked are answered together by the next read, each key
// looked up once: ten thousand who wake at the same time cost two reads.
//
// Belongs to one executor.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/event.h"
#include "tenancy/entry.h"

namespace agentrouter::api {

class KeyWatch {
 public:
  // Both outlive it.
  KeyWatch(store::Store& store, const base::Clock& clock) : store_(store), clock_(clock) {}

  // As tenancy::check_again(), about a moment after the call. The server's own key in the default workspace
  // is not looked up. Both arguments live until it resumes.
  //
  // Errors: those of check_again; unavailable, corrupt: the store could not be asked.
  base::Task<base::Result<void>> check(const tenancy::Caller& caller, const std::string& workspace);

  // How often the store was asked.
  [[nodiscard]] std::size_t reads() const { return reads_; }

 private:
  struct Question {
    tenancy::Caller caller;
    base::Result<void> answer = {};
  };
  // Those who are answered by one read.
  struct Round {
    std::map<std::pair<std::string, std::string>, Question> questions;  // by key and workspace
    bool over = false;
  };
  base::Task<void> ask(std::shared_ptr<Round> round);

  store::Store& store_;
  const base::Clock& clock_;
  std::shared_ptr<Round> next_;  // that has not begun
  bool reading_ = false;
  std::optional<base::Event> read_;
  std::size_t reads_ = 0;
};

}  // namespace agentrouter::api
