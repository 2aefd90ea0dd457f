#pragma once
// Bytes that several blobs share, by their digest, and who uses them, in a store that many machines write and
// that has no transactions. Three kinds of objects:
//
//   sha256/ab/cdef...        the bytes
//   uses/<sha256>/<key>      this key's blob has these bytes (empty)
//   dooms/<sha256>/<random>  somebody is about to remove these bytes if nobody uses them (empty)
//
// Who wants bytes first says so and then looks whether they are doomed; who removes them first dooms them and
// then looks whether they are used. In a store that shows at once what was written, one of both sees the
// other: a writer that finds a doom writes bytes of its own under another name, and a remover that finds a
// use leaves them. The remover's last request is dated like its doom, so that no store takes it after its
// signature's quarter of an hour, whoever slept.

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include "blobs/blob_store.h"
#include "blobs/s3/s3_client.h"

namespace agentrouter::blobs {

class SharedContent {
 public:
  // Both outlive it.
  SharedContent(S3Client& client, base::Entropy& entropy) : client_(client), entropy_(entropy) {}

  // Sees to it that the bytes are there for `key`, by calling `upload` with the name of an object unless
  // somebody has done so before; gives that name. Bytes of another size are no bytes of ours: they are
  // written anew. What was begun and not ended leaves a use, which sweep() removes. Errors: as S3Client and
  // `upload`.
  using Upload = std::function<base::Result<void>(const std::string& name)>;
  [[nodiscard]] base::Result<std::string> take(const BlobInfo& bytes, const std::string& key,
                                               const Upload& upload);
  // The key's blob does not have them any more: removes them if nobody else does. May be repeated.
  [[nodiscard]] base::Result<void> drop(const std::string& name, const std::string& sha256,
                                        const std::string& key);

  // Removes what processes that died have left: dooms after an hour; after a day uses of blobs that never
  // came to be. Of uses only those of the last week are looked at: older ones were looked at before. Any
  // number of machines may do this at the same time. `names` says whether the key's blob has these bytes.
  using Names = std::function<base::Result<bool>(const std::string& key, const std::string& sha256)>;
  [[nodiscard]] base::Result<void> sweep(const Names& names, const std::atomic<bool>& stopped);

  [[nodiscard]] static std::string name_of(std::string_view sha256);

 private:
  [[nodiscard]] base::Result<bool> any(const std::string& prefix);
  [[nodiscard]] std::string random() const;
  [[nodiscard]] base::Result<void> sweep_dooms(const std::atomic<bool>& stopped);
  [[nodiscard]] base::Result<void> sweep_use(const S3Object& use, const Names& names);
  template <class Each>
  [[nodiscard]] base::Result<void> for_each(const std::string& prefix, const std::atomic<bool>& stopped,
                                            const Each& each);

  S3Client& client_;
  base::Entropy& entropy_;
};

}  // namespace agentrouter::blobs
