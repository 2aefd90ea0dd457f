#include "apps/tree_desk.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/hash.h"

namespace agentrouter::apps {

namespace {

using base::Code;
using base::Result;

// Part of a tree's name: another number when the same archive would give another tree.
constexpr std::string_view upload_rules_version = "1";
constexpr std::size_t report_bytes = 64 * 1024;

// What a full disk says, in the word that everybody knows.
base::Error of_storage(base::Error error) {
  if (error.code == Code::exhausted && error.reason.empty()) error.reason = "storage_full";
  return error;
}

class IncomingArchive final : public api::IncomingUpload {
 public:
  IncomingArchive(base::Fd file, std::string workspace_id, workspace::Trees& trees, Unpacker& unpacker,
                  const UploadRules& rules)
      : file_(std::move(file)),
        workspace_id_(std::move(workspace_id)),
        trees_(trees),
        unpacker_(unpacker),
        rules_(rules) {}

  Result<void> write(std::string_view bytes) override {
    size_ += bytes.size();
    hash_.update(bytes);
    if (auto written = base::write_all(file_.get(), bytes); !written)
      return tl::unexpected(of_storage(std::move(written).error()));
    return {};
  }

  Result<api::ReceivedUpload> finish() override {
    const auto sha256 = hash_.hex();
    const auto whose = workspace_id_ == model::default_workspace ? sha256 : of_workspace(sha256);
    const auto name = "upload-" + std::string(upload_rules_version) + "-" + whose;
    auto tree = trees_.make(name, [this](int folder) -> Result<workspace::UnpackReport> {
      if (::lseek(file_.get(), 0, SEEK_SET) != 0) return base::fail_errno("cannot read the archive", errno);
      return unpacker_.unpack(file_.get(), folder, rules_.unpack, "upload");
    });
    if (!tree) return tl::unexpected(of_storage(std::move(tree).error()));
    return api::ReceivedUpload{.sha256 = sha256,
                               .bytes = size_,
                               .tree = tree->name,
                               .files = tree->content.files,
                               .cached = tree->cached,
                               .hold = std::move(tree->hold)};
  }

  [[nodiscard]] int archive() const override { return file_.get(); }

 private:
  // Nobody learns from the time that it takes whether another workspace has sent the same.
  [[nodiscard]] std::string of_workspace(const std::string& sha256) const {
    return base::Sha256::hex_of(workspace_id_ + "\n" + sha256);
  }

  base::Fd file_;
  std::string workspace_id_;
  workspace::Trees& trees_;
  Unpacker& unpacker_;
  const UploadRules& rules_;
  base::Sha256 hash_;
  std::uint64_t size_ = 0;
};

}  // namespace

Result<workspace::UnpackReport> Unpacker::unpack(int archive, int folder,
                                                 const workspace::UnpackLimits& limits,
                                                 const std::string& label) {
  std::list<Running>::iterator entry;
  {
    const std::lock_guard lock(mutex_);
    entry = running_.emplace(running_.end());
    entry->label = label;
    if (stopped_) entry->run.stop();
  }
  const auto report =
      entry->run.run({"unpack", workspace::to_argument(limits)}, {archive, folder}, report_bytes);
  {
    const std::lock_guard lock(mutex_);
    running_.erase(entry);
  }
  if (!report) return tl::unexpected(report.error());
  if (report->empty()) return base::fail(Code::internal, "the process that unpacks broke down");
  return workspace::parse_unpack_report(*report);
}

void Unpacker::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  for (auto& entry : running_) entry.run.stop();
}

void Unpacker::cancel(const std::string& label) {
  const std::lock_guard lock(mutex_);
  for (auto& entry : running_) {
    if (entry.label == label) entry.run.stop();
  }
}

base::Task<Result<void>> TreeDesk::share(const std::string& tree, const api::IncomingUpload& upload) {
  if (shared_ == nullptr) co_return Result<void>();
  std::vector<worker::TreePart> parts;
  parts.push_back({{}, base::Fd(::fcntl(upload.archive(), F_DUPFD_CLOEXEC, 0))});
  auto kept = co_await shared_->keep(tree, runs::KeptTree::Source::upload, parts);
  if (kept) co_return kept;
  auto error = std::move(kept).error();
  if (error.code != Code::unavailable || error.reason.empty())
    error = {Code::unavailable, "The upload cannot be kept: " + error.message, "storage_failed"};
  co_return tl::unexpected(std::move(error));
}

TreeDesk::TreeDesk(std::filesystem::path folder, workspace::Trees& trees, Unpacker& unpacker,
                   UploadRules rules, base::Entropy& entropy)
    : folder_(std::move(folder)),
      trees_(trees),
      unpacker_(unpacker),
      rules_(std::move(rules)),
      entropy_(entropy) {}

Result<std::unique_ptr<api::IncomingUpload>> TreeDesk::begin(const std::string& workspace) {
  // Its name goes at once: whatever happens to us, nothing is left of it.
  const auto path = folder_ / (".upload-" + base::new_uuid(entropy_));
  base::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file || ::unlink(path.c_str()) != 0)
    return tl::unexpected(of_storage(base::fail_errno("cannot take an upload", errno).value()));
  return std::make_unique<IncomingArchive>(std::move(file), workspace, trees_, unpacker_, rules_);
}

}  // namespace agentrouter::apps
