#pragma once
// What can be asked about a run's files, and how the answer comes: `agentrouter read-files` answers one request
// with frames, each its length in four bytes (the highest first) and then so many bytes. The first frame is a
// JSON object, the head, or {"error": {...}} and nothing else. Content follows, and a frame of no bytes says
// that all of it is there: an answer that ends without it was cut off.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace agentrouter::workspace {

inline constexpr std::size_t frame_bytes = 64 * 1024;  // at most

struct FileRequest {
  // list: the head is empty, the content {"items":[{path, encoding?, type, size?, mode, modifiedAt, status?,
  //   target?, targetEncoding?}], "nextCursor"?, "truncated"?}.
  // read: the head is {"size","mode","offset","length"}, the content the file's bytes.
  // archive: the head is empty, the content an archive.
  // log: the head is empty, the content what the agent's log has from `offset` on; no reader of files answers
  // it.
  enum class What { list, read, archive, log };
  enum class Depth { folder, all };
  enum class Format { tar_gz, tar_zst };
  enum class Files { all, changed };

  What what = What::list;
  std::string path;  // raw bytes; list: the folder, "" for the workspace itself; read: the file; log: stdout
                     // or stderr

  Depth depth = Depth::folder;  // of a list
  std::string after;            // the path that the page before ended with, or ""
  std::int64_t limit = 200;

  std::uint64_t offset = 0;  // of a read, of a log
  std::optional<std::uint64_t> length;

  Format format = Format::tar_gz;  // of an archive
  Files files = Files::all;
};

[[nodiscard]] std::string to_json(const FileRequest& request);
// Errors: invalid.
[[nodiscard]] base::Result<FileRequest> parse_file_request(std::string_view text);

// What a path of a request may be: parts that are not empty, none of them "." or "..", no NUL.
[[nodiscard]] bool is_file_path(std::string_view path);

[[nodiscard]] json::object error_head(const base::Error& error);
// The error that a head tells, or the head itself. Errors: also corrupt for what is no head.
[[nodiscard]] base::Result<json::object> parse_head(std::string_view text);
// The same of who answers requests for files, which may be a process beside the agent and is not believed:
// only the reasons that such a request has (file_not_found, not_a_file, not_a_folder, file_too_large,
// range_not_satisfiable) are, each with the code that it has here, and details that are a JSON object.
// Errors: these, corrupt, and unavailable for whatever else it tells.
[[nodiscard]] base::Result<json::object> parse_files_head(std::string_view text);

class FrameWriter {
 public:
  // `fd` is borrowed.
  explicit FrameWriter(int fd) : fd_(fd) {}
  // Errors: those of write(2).
  [[nodiscard]] base::Result<void> head(const json::object& head);
  [[nodiscard]] base::Result<void> content(std::string_view bytes);
  [[nodiscard]] base::Result<void> end();

 private:
  [[nodiscard]] base::Result<void> frame(std::string_view bytes);
  int fd_;
};

}  // namespace agentrouter::workspace
