#pragma once
// What the agent of one run asked its model provider, and what it was answered: kept as lines of JSON
// (docs/formats/cassette.md) and played again without a network. Requests are kept in the form of
// canonical_body.h, without credentials; secrets that are known are taken out of everything, before anything
// else is made of its bytes.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/redactor.h"
#include "net/http.h"
#include "sim/reply.h"

namespace agentrouter::egress {

inline constexpr std::int64_t cassette_version = 1;
inline constexpr std::uint64_t cassette_bytes = 256ull << 20;
inline constexpr std::size_t cassette_requests = 10'000;

struct CassetteLabel {
  std::string runtime;  // "codex", "claude_code"
  std::string model;
};

// What of a request is compared. The same for a recording and for its replay, so that secrets that both know
// make no difference.
struct AskedRequest {
  std::string method;
  std::string path;
  json::value body;  // canonical
};
[[nodiscard]] AskedRequest asked_request(std::string_view method, std::string_view path,
                                         std::string_view body, const base::Redactor& redactor);

class CassetteWriter {
 public:
  // One answer as it comes. Without finish() it was cut.
  class Take {
   public:
    Take(CassetteWriter& writer, std::size_t number) : writer_(writer), number_(number) {}
    Take(const Take&) = delete;
    Take& operator=(const Take&) = delete;
    ~Take();
    void head(int status, const net::Headers& headers);
    void piece(std::string_view bytes);
    void finish();

   private:
    CassetteWriter& writer_;
    std::size_t number_;
  };

  // Writes to `file` (borrowed, empty). `redactor` outlives it.
  CassetteWriter(int file, const CassetteLabel& label, const base::Redactor& redactor);

  // A request leaves. Its answer is over when the take is gone; requests stand in the file in the order in which
  // they left.
  [[nodiscard]] std::unique_ptr<Take> begin(std::string_view method, std::string_view path, std::string_view body);
  // The last line, without which a cassette is of no use; on the disk when it returns. No take is open any more.
  // Errors: those of write(2); exhausted (cassette_bytes or cassette_requests).
  [[nodiscard]] base::Result<void> end();
  [[nodiscard]] std::size_t requests() const { return begun_; }

 private:
  struct Exchange {
    json::object request;
    int status = 0;
    json::object headers;
    bool is_stream = false;
    std::string body;
    bool finished = false;
    bool over = false;
  };
  void over(std::size_t number);
  [[nodiscard]] std::string encoded(std::string_view piece) const;
  void write(Exchange& exchange);
  void line(const json::object& object);

  int file_;
  const base::Redactor& redactor_;
  std::vector<std::unique_ptr<Exchange>> open_;  // from written_ on
  std::size_t begun_ = 0;
  std::size_t written_ = 0;
  std::uint64_t bytes_ = 0;
  std::optional<base::Error> trouble_;
};

// A recorded cassette, read whole. Errors: not_found (of `path`); invalid, with the line, and exhausted. Reasons:
// ended_early, malformed, version, too_large.
class Cassette {
 public:
  [[nodiscard]] static base::Result<Cassette> read(int file);

  struct Exchange {
    AskedRequest request;
    sim::Reply reply;
  };
  [[nodiscard]] const std::vector<Exchange>& exchanges() const { return exchanges_; }
  [[nodiscard]] const CassetteLabel& label() const { return label_; }

 private:
  base::Result<void> take(const json::object& line, std::size_t number);
  base::Result<void> take_request(const json::object& line);
  base::Result<void> take_answer(const json::object& line);

  CassetteLabel label_;
  std::vector<Exchange> exchanges_;
  bool answered_ = true;  // the last one
  bool ended_ = false;
};

// Why a request has no answer in the cassette.
struct ReplayMismatch {
  std::size_t number = 0;                 // of the request, from 1
  AskedRequest asked;
  std::optional<AskedRequest> expected;  // none: the cassette has no further request
};

class CassettePlayer {
 public:
  // `on_mismatch` is told of the first one. `redactor`, which takes out what the recording does not have either, outlives
  // the player.
  CassettePlayer(Cassette cassette, const base::Redactor& redactor,
                 std::function<void(const ReplayMismatch&)> on_mismatch);

  // The recorded answer of the next request that is equal, among the next `ahead`: an agent may have several
  // under way. A mismatch, and whatever is asked after it, is answered 400 with replay_mismatch.
  [[nodiscard]] sim::Reply answer(std::string_view method, std::string_view path, std::string_view body);
  [[nodiscard]] std::size_t answered() const { return answered_; }
  [[nodiscard]] std::size_t requests() const { return cassette_.exchanges().size(); }

  static constexpr std::size_t ahead = 8;

 private:
  Cassette cassette_;
  const base::Redactor& redactor_;
  std::function<void(const ReplayMismatch&)> on_mismatch_;
  std::vector<bool> used_;
  std::size_t next_ = 0;
  std::size_t answered_ = 0;
  bool broken_ = false;
};

}  // namespace agentrouter::egress
