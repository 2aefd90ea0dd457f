#pragma once
// Gets LFS objects for a repository, outside of the sandbox that it is fetched in: the batch request to the
// repository's own server, with its credential, and then each object from where the answer says. What servers
// answer is hostile: where an object may come from is judged like the repository's own address, and no
// redirect is followed. An object's bytes are for the caller to check.

#include <functional>
#include <string>
#include <vector>

#include "base/asio.h"
#include "base/json.h"
#include "egress/secret.h"
#include "net/client.h"
#include "net/url.h"

namespace agentrouter::egress {

struct LfsConfig {
  net::Url repository;
  const Secret* credential = nullptr;         // what follows "Basic "; only for the repository's own server
  const net::TlsContext* tls = nullptr;       // needed for https
  net::Reach reach = net::Reach::anywhere;    // of the repository's own server; others are public only
  std::vector<std::string> https_hosts = {};  // that https is confined to; empty: anywhere
  std::chrono::milliseconds connect_timeout{15'000};
  std::chrono::milliseconds idle_timeout{120'000};
};

struct LfsObject {
  std::string oid;
  std::uint64_t size = 0;
};

// Where one is to be had.
struct LfsSource {
  LfsObject object;
  net::Url url;
  net::Headers headers;
};

// The repository's batch address: "<repository>.git/info/lfs/objects/batch". Pure.
[[nodiscard]] net::Url lfs_batch_url(const net::Url& repository);
[[nodiscard]] std::string lfs_batch_body(const std::vector<LfsObject>& objects);
// `text` is the answer to a batch request for `objects`; gives a source for each of them, in their order.
// Pure. Errors: not_found (the server does not have one), corrupt.
[[nodiscard]] base::Result<std::vector<LfsSource>> read_lfs_batch(std::string_view text,
                                                                  const std::vector<LfsObject>& objects);

class LfsClient {
 public:
  // Belongs to the executor that it is used on. What the configuration points to outlives it.
  explicit LfsClient(LfsConfig config) : config_(std::move(config)) {}

  // At most 100 objects. Errors: denied (reason unauthorized: the credential is not enough), not_found,
  // unavailable, timeout, corrupt.
  [[nodiscard]] base::Task<base::Result<std::vector<LfsSource>>> batch(std::vector<LfsObject> objects);

  // Gives `take` exactly the object's size in bytes, in pieces. Errors: denied (it is where nothing may be
  // fetched from), unavailable, timeout, corrupt (another size), what `take` returns.
  using Take = std::function<base::Task<base::Result<void>>(std::string_view piece)>;
  [[nodiscard]] base::Task<base::Result<void>> download(const LfsSource& source, const Take& take);

 private:
  enum class Place { own_server, elsewhere };
  [[nodiscard]] Place place_of(const net::Url& url) const;
  base::Task<base::Result<std::unique_ptr<net::Stream>>> connect(const net::Url& url);
  base::Task<base::Result<void>> send(net::Stream& stream, const net::Url& url, net::ClientRequest request);
  base::Task<base::Result<void>> read(net::Stream& stream, net::ResponseParser& parser, std::string& body);

  LfsConfig config_;
};

}  // namespace agentrouter::egress
