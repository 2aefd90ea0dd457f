#pragma once
// For the tests of files: the same workspace looked at in both ways, live from its layers, and kept from the
// base and a checkpoint.

#include <sys/socket.h>

#include <thread>

#include "workspace/checkpoint_test.h"
#include "workspace/file_list.h"

#include "workspace/files_command.h"
#include "workspace/path_text.h"

namespace agentrouter::workspace {

class FilesTest : public CheckpointTest, public testing::WithParamInterface<std::string> {
 protected:
  // Runs `agent` in the merged tree; then the files can be asked for.
  void after(const std::function<void()>& agent) {
    run_agent(agent);
    base_fd_ = base::Fd(::open(base().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (GetParam() == "kept") {
      const auto kept = checkpoint();
      ASSERT_TRUE(kept) << kept.error().message;
      state_fd_ = base::Fd(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
    } else {
      state_fd_ = numbered_stack();
    }
  }
  void after(const std::string& commands) {
    after([&] { ASSERT_EQ(0, shell(commands)); });
  }

  FileView view() const {
    if (GetParam() == "live") return FileView::live(base_fd_.get(), Stack::numbered(state_fd_.get()));
    return base::value_or_throw(FileView::kept(base_fd_.get(), state_fd_.get()));
  }

  struct Said {
    json::object head;
    std::string content;
    bool whole = false;  // the frame that says so came
  };
  // What the subcommand would write.
  Said ask(const FileRequest& request, const FileReadLimits& limits = {}) const {
    const auto out = root / "answer";
    const base::Fd fd(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    FrameWriter writer(fd.get());
    (void)answer_files(view(), request, writer, limits);
    return parse(read_text(out));
  }
  static Said parse(std::string_view bytes) {
    Said said;
    for (bool first = true; bytes.size() >= 4; first = false) {
      std::size_t size = 0;
      for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
      EXPECT_LE(size, frame_bytes);
      const auto frame = bytes.substr(4, size);
      bytes.remove_prefix(4 + size);
      if (first) said.head = base::value_or_throw(base::parse_json(frame)).as_object();
      said.whole = !first && frame.empty();
      if (!first) said.content += frame;
    }
    return said;
  }

  Said read(const std::string& path, std::uint64_t offset = 0, std::optional<std::uint64_t> length = {}) const {
    FileRequest request;
    request.what = FileRequest::What::read;
    request.path = path;
    request.offset = offset;
    request.length = length;
    return ask(request);
  }
  static std::string reason(const Said& said) {
    const auto* error = base::get_object(said.head, "error");
    return error ? std::string(base::get_string(*error, "reason").value_or("?")) : "";
  }

  static FileRequest everything(std::int64_t limit = 1000) {
    FileRequest request;
    request.depth = FileRequest::Depth::all;
    request.limit = limit;
    return request;
  }
  json::object list(const FileRequest& request, const FileListLimits& limits = {}) const {
    const auto text = list_files(view(), request, limits);
    EXPECT_TRUE(text) << text.error().message;
    return text ? base::value_or_throw(base::parse_json(*text)).as_object() : json::object{};
  }
  // "type path status -> target" of each entry.
  static std::vector<std::string> lines(const json::object& page) {
    std::vector<std::string> all;
    for (const auto& item : page.at("items").as_array()) {
      const auto& entry = item.as_object();
      std::string line(entry.at("type").as_string());
      line.append(" ").append(entry.at("path").as_string());
      if (const auto status = base::get_string(entry, "status")) line.append(" [").append(*status).append("]");
      if (const auto target = base::get_string(entry, "target")) line.append(" -> ").append(*target);
      all.push_back(line);
    }
    return all;
  }

  base::Fd base_fd_;
  base::Fd state_fd_;
};

}  // namespace agentrouter::workspace
