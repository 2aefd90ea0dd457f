#include "worker/cassettes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/file.h"
#include "keeper/tape.h"
#include "model/cassette_name.h"

namespace agentrouter::worker {
namespace {

// As cassettes of later turns were called once.
std::string former_name(std::string name) {
  if (const auto plus = name.find('+'); plus != std::string::npos) name[plus] = '.';
  return name;
}

std::string numbered(int number) {
  const std::string digits = std::to_string(number);
  return "run-" + std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits;
}

base::Result<void> copy_cassette(int from, int to) {
  std::string buffer(256u << 10, '\0');
  for (std::uint64_t size = 0;;) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno("cannot read the cassette", errno);
    if (got == 0) return {};
    size += static_cast<std::uint64_t>(got);
    if (size > keeper::cassette_file_bytes)
      return base::fail(base::Code::exhausted, "the cassette is over 256 MiB", "too_large");
    auto written = base::write_all(to, std::string_view(buffer).substr(0, static_cast<std::size_t>(got)));
    if (!written) return written;
  }
}

}  // namespace

int Cassettes::number_of(const model::Run& run) {
  const auto [mine, added] = numbers_.try_emplace(run.id.str(), 0);
  if (!added) return mine->second;
  const int number = mine->second = ++last_numbers_[run.workspace_id];
  numbered_.push_back(run.id.str());
  if (numbered_.size() > remembered) {
    numbers_.erase(numbered_.front());
    numbered_.pop_front();
  }
  return number;
}

base::Result<std::string> Cassettes::name_of(const model::Run& run) {
  const auto tag = std::ranges::find(run.tags, model::cassette_tag, &model::Tags::value_type::first);
  if (tag == run.tags.end()) return numbered(number_of(run));
  if (!model::is_cassette_name(tag->second))
    return base::fail(base::Code::invalid,
                      "the tag cassette is no name: 1 to 100 letters, digits, \".\", \"_\" and \"-\", not with \".\" first",
                      "name");
  return model::cassette_of_turn(tag->second, run.turn_number);
}

std::filesystem::path Cassettes::folder_of(const model::Run& run) const {
  return run.workspace_id == model::default_workspace ? rules_.folder : rules_.folder / run.workspace_id;
}

base::Result<base::Fd> Cassettes::open(const model::Run& run, const std::string& name) const {
  const auto path = folder_of(run) / (name + ".jsonl");
  base::Fd in(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in && errno == ENOENT) {
    const auto former = folder_of(run) / (former_name(name) + ".jsonl");
    in = base::Fd(::open(former.c_str(), O_RDONLY | O_CLOEXEC));
  }
  if (!in && errno == ENOENT)
    return base::fail(base::Code::not_found, "there is no cassette " + path.string() + ": record it first", "missing");
  if (!in) return base::fail_errno("cannot open the cassette " + path.string(), errno);
  return in;
}

base::Result<void> Cassettes::place(const model::Run& run, const std::string& name,
                                    const AttemptFolder& folder) const {
  AGENTROUTER_TRY(const base::Fd in, open(run, name));
  const base::Fd out(::openat(folder.fd(), keeper::cassette_file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  // The keeper has an id of its own; the folder keeps everybody else out.
  if (!out || ::fchmod(out.get(), 0644) != 0) return base::fail_errno("cannot place the cassette", errno);
  return copy_cassette(in.get(), out.get());
}

base::Result<void> Cassettes::take(const model::Run& run, const std::string& name,
                                   const AttemptFolder& folder) const {
  if (!model::is_cassette(name)) return base::fail(base::Code::invalid, "the recording has no name", "name");
  AGENTROUTER_TRY(const base::Fd in, folder.file(keeper::recording_file));
  if (auto made = base::make_directories(folder_of(run)); !made) return made;
  AGENTROUTER_TRY(const base::Fd into, base::open_directory(folder_of(run)));
  const std::string temporary = "." + name + ".new";
  const std::string wanted = name + ".jsonl";
  const base::Fd out(::openat(into.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!out) return base::fail_errno("cannot write the cassette", errno);
  auto copied = copy_cassette(in.get(), out.get());
  if (copied && (::fsync(out.get()) != 0 || ::renameat(into.get(), temporary.c_str(), into.get(), wanted.c_str()) != 0 ||
                 ::fsync(into.get()) != 0))
    copied = base::fail_errno("cannot write the cassette", errno);
  if (!copied) (void)::unlinkat(into.get(), temporary.c_str(), 0);
  return copied;
}

}  // namespace agentrouter::worker
