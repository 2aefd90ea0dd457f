#include "keeper/boundary_view.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include "base/utf8.h"
#include "keeper/boundary_files.h"
#include "sandbox/plan.h"

namespace agentrouter::keeper {
namespace {

constexpr std::size_t memory_bytes = 8u << 20;  // of one process
constexpr std::size_t where_bytes = 512;

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  struct Close {
    void operator()(DIR* folder) const { ::closedir(folder); }
  };
  const std::unique_ptr<DIR, Close> folder(::opendir(path.c_str()));
  while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) names.emplace_back(entry->d_name);
  return names;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<std::string_view> words_of(std::string_view text, std::string_view between) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const auto begin = text.find_first_not_of(between);
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const auto end = std::min(text.find_first_of(between), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

// One look, from the most likely place to the least.
class Look {
 public:
  Look(const BoundaryView& view, const base::Redactor& secrets) : view_(view), secrets_(secrets) {}

  BoundaryReport take() {
    const bool found = environment() || processes() || descriptors() || network() || home() || files();
    if (!found) workspace();
    return std::move(report_);
  }

 private:
  [[nodiscard]] std::string at(std::string_view path) const {
    return (view_.root == "/" ? std::string() : view_.root) + std::string(path);
  }
  bool finding(std::string_view surface, const std::string& where) {
    report_.surface = surface;
    report_.where = secrets_.occurs_in(where) ? "..." : base::to_utf8(where.substr(0, where_bytes));
    return true;
  }

  bool environment() {
    const std::string own = text_of(at("/proc/self/environ"));
    auto all = words_of(own, std::string_view("\0", 1));
    all.insert(all.end(), view_.environment.begin(), view_.environment.end());
    for (const auto variable : all) {
      if (secrets_.occurs_in(variable))
        return finding("env", "variable " + std::string(variable.substr(0, variable.find('='))));
    }
    return false;
  }

  bool processes() {
    const std::string self = std::to_string(::getpid());
    for (const auto& name : names_in(at("/proc"))) {
      if (!is_number(name)) continue;
      ++report_.processes;
      const std::string process = at("/proc/" + name);
      for (const auto* what : {"cmdline", "environ"}) {
        if (secrets_.occurs_in(text_of(process + "/" + what)))
          return finding("proc", std::string(what) + " of process " + name);
      }
      if (name != self && memory_holds(process)) return finding("proc", "memory of process " + name);
    }
    return false;
  }

  // Of a process whose memory the agent could read, which none should be.
  bool memory_holds(const std::string& process) {
    const base::Fd memory(::open((process + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
    if (!memory) return false;
    std::size_t left = memory_bytes;
    const std::string maps = text_of(process + "/maps");
    for (const auto line : words_of(maps, "\n")) {
      const auto words = words_of(line, " ");
      std::uint64_t begin = 0;
      std::uint64_t end = 0;
      if (words.size() < 2 || !words[1].starts_with('r')) continue;
      const auto first = std::from_chars(words[0].data(), words[0].data() + words[0].size(), begin, 16);
      std::from_chars(first.ptr + 1, words[0].data() + words[0].size(), end, 16);
      std::string bytes(std::min<std::uint64_t>(end > begin ? end - begin : 0, left), '\0');
      const ssize_t size = ::pread(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(begin));
      if (size <= 0) continue;
      bytes.resize(static_cast<std::size_t>(size));
      left -= bytes.size();
      if (secrets_.occurs_in(bytes)) return true;
    }
    return false;
  }

  bool descriptors() {
    const std::string folder = at("/proc/self/fd");
    for (const auto& name : names_in(folder)) {
      if (!is_number(name) || view_.own_descriptors.contains(std::stoi(name))) continue;
      char target[256];
      const ssize_t size = ::readlink((folder + "/" + name).c_str(), target, sizeof target);
      // The one that the folder itself was read through is gone.
      if (size > 0)
        return finding("descriptors", name + ", " + std::string(target, static_cast<std::size_t>(size)));
    }
    return false;
  }

  bool network() {
    const std::string text = text_of(at("/proc/net/dev"));
    for (const auto line : words_of(text, "\n")) {
      const auto words = words_of(line, " ");
      if (words.empty() || line.find(':') == std::string_view::npos) continue;
      const auto name = words[0].substr(0, words[0].find(':'));
      if (name != "lo") return finding("sockets", "interface " + std::string(name));
    }
    return listeners("tcp", "0A") || listeners("tcp6", "0A") || listeners("udp", "07") || listeners("udp6", "07") ||
           unix_sockets();
  }

  // "sl local_address rem_address st ...": addresses in the machine's byte order, ports in hex.
  bool listeners(const std::string& protocol, std::string_view state) {
    const std::string text = text_of(at("/proc/net/" + protocol));
    for (const auto line : words_of(text, "\n")) {
      const auto words = words_of(line, " ");
      if (words.size() < 4 || words[3] != state) continue;
      const auto colon = words[1].rfind(':');
      unsigned port = 0;
      std::from_chars(words[1].data() + colon + 1, words[1].data() + words[1].size(), port, 16);
      if (!is_way_out(words[1].substr(0, colon), port))
        return finding("sockets", protocol + " " + std::string(words[1]));
    }
    return false;
  }

  [[nodiscard]] bool is_way_out(std::string_view address, unsigned port) const {
    constexpr std::string_view provider = "0101537F";  // 127.83.1.1
    if (address == provider) return port == sandbox::provider_port || (port == 53 && !view_.outbound_ports.empty());
    return address == "00000000" && std::ranges::find(view_.outbound_ports, port) != view_.outbound_ports.end();
  }

  // Those of this network namespace, by a name in it or in the file system; unnamed ones lead nowhere.
  bool unix_sockets() {
    const std::string text = text_of(at("/proc/net/unix"));
    for (const auto line : words_of(text, "\n")) {
      const auto words = words_of(line, " ");
      if (words.size() > 7 && words[0] != "Num") return finding("sockets", "unix " + std::string(words[7]));
    }
    return false;
  }

  bool searched(std::string_view surface, const LookLimits& limits, const std::string& path,
                const std::set<std::string>& skip) {
    FileSearch search(secrets_, limits, report_);
    const auto found = search.search(at(path), path, skip);
    report_.complete = report_.complete && search.complete();
    return found && finding(search.found_socket() ? "sockets" : surface, *found);
  }
  bool home() { return searched("home", view_.home, sandbox::home_path, {}); }
  bool files() {
    return searched("files", view_.files, "/dev/shm", {}) ||
           searched("files", view_.files, "/",
                    {"/proc", "/sys", "/dev", "/usr", sandbox::home_path, sandbox::workspace_path}) ||
           (view_.system == BoundaryView::System::of_image && image());
  }
  // Where builders of images put what is theirs, and then the rest, as far as it goes.
  bool image() {
    const auto own = [this](const char* path) { return searched("files", view_.image, path, {}); };
    return own("/usr/src") || own("/usr/local") ||
           searched("files", view_.image, "/usr", {"/usr/src", "/usr/local"});
  }

  void workspace() {
    FileSearch search(secrets_, view_.workspace, report_);
    search.ignore_sockets();
    const BoundaryReport before = report_;
    report_.workspace_holds_secret = search.search(at(sandbox::workspace_path), sandbox::workspace_path).has_value();
    report_.workspace_complete = search.complete();
    report_.files = before.files;
    report_.bytes = before.bytes;
  }

  const BoundaryView& view_;
  const base::Redactor& secrets_;
  BoundaryReport report_;
};

}  // namespace

BoundaryReport look_around(const BoundaryView& view, const base::Redactor& secrets) {
  return Look(view, secrets).take();
}

json::object BoundaryReport::to_json() const {
  return {{"surface", surface},
          {"where", where},
          {"files", files},
          {"bytes", bytes},
          {"processes", processes},
          {"complete", complete},
          {"workspaceComplete", workspace_complete},
          {"workspaceHoldsSecret", workspace_holds_secret}};
}

base::Result<BoundaryReport> BoundaryReport::parse(std::string_view text) {
  const auto value = base::parse_json(text, {.max_bytes = 4096});
  const auto* object = value ? value->if_object() : nullptr;
  const auto bad = [] { return base::fail(base::Code::invalid, "its report is malformed"); };
  if (object == nullptr) return bad();
  const auto surface = base::get_string(*object, "surface");
  const auto where = base::get_string(*object, "where");
  const auto files = base::get_int(*object, "files");
  const auto bytes = base::get_int(*object, "bytes");
  const auto processes = base::get_int(*object, "processes");
  const auto complete = base::get_bool(*object, "complete");
  const auto workspace_complete = base::get_bool(*object, "workspaceComplete");
  const auto workspace_holds = base::get_bool(*object, "workspaceHoldsSecret");
  if (!surface || !where || !files || !bytes || !processes || !complete || !workspace_complete || !workspace_holds)
    return bad();
  constexpr std::array<std::string_view, 7> surfaces{"", "env", "proc", "home", "files", "sockets", "descriptors"};
  if (std::ranges::find(surfaces, *surface) == surfaces.end()) return bad();
  return BoundaryReport{.surface = std::string(*surface),
                        .where = std::string(*where),
                        .files = static_cast<std::uint64_t>(*files),
                        .bytes = static_cast<std::uint64_t>(*bytes),
                        .processes = static_cast<std::uint64_t>(*processes),
                        .complete = *complete,
                        .workspace_complete = *workspace_complete,
                        .workspace_holds_secret = *workspace_holds};
}

}  // namespace agentrouter::keeper
