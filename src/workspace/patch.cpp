#include "workspace/patch.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "base/ascii.h"
#include "base/hash.h"
#include "workspace/binary_patch.h"
#include "workspace/line_diff.h"

namespace agentrouter::workspace {

namespace {

constexpr std::uint32_t context_lines = 3;

struct FreeMd {
  void operator()(EVP_MD* md) const { EVP_MD_free(md); }
};

const EVP_MD* sha1() {
  static const std::unique_ptr<EVP_MD, FreeMd> md(EVP_MD_fetch(nullptr, "SHA1", nullptr));
  if (!md) base::throw_failure(base::Code::unsupported, "cannot hash git blobs: OpenSSL offers no SHA-1");
  return md.get();
}

std::string_view mode_of(const Node& node) {
  if (node.kind == Kind::link) return "120000";
  return node.executable ? "100755" : "100644";
}

std::string hash_of(const Side& side) {
  return side.blob.empty() ? std::string(40, '0') : side.blob;
}

bool is_binary(const Side& side) {
  return side.node.is_content() && (!side.content || side.content->find('\0') != std::string_view::npos);
}

// Git marks the end of a name with blanks in it by a tab.
std::string name_line(std::string_view mark, std::string_view prefix, const std::string& path) {
  const bool blank = path.find(' ') != std::string::npos;
  return std::string(mark) + quote_path(std::string(prefix) + path) + (blank ? "\t\n" : "\n");
}

void append_line(std::string& out, char mark, std::string_view line) {
  out += mark;
  out += line;
  if (line.empty() || line.back() != '\n') out += "\n\\ No newline at end of file\n";
}

std::string range_of(std::uint32_t begin, std::uint32_t end) {
  const auto count = end - begin;
  const auto first = count == 0 ? begin : begin + 1;
  return std::to_string(first) + (count == 1 ? "" : "," + std::to_string(count));
}

using Lines = std::vector<std::string_view>;

// edits[first, last) are close enough to share their context.
void append_hunk(std::string& out, const Lines& a, const Lines& b, const std::vector<Edit>& edits,
                 std::size_t first, std::size_t last) {
  const auto lead = std::min(edits[first].a_begin, context_lines);
  const auto& final = edits[last - 1];
  const auto tail = std::min(static_cast<std::uint32_t>(a.size()) - final.a_end, context_lines);
  auto at = edits[first].a_begin - lead;
  out += "@@ -" + range_of(at, final.a_end + tail) + " +" +
         range_of(edits[first].b_begin - lead, final.b_end + tail) + " @@\n";
  for (auto i = first; i < last; ++i) {
    for (; at < edits[i].a_begin; ++at) append_line(out, ' ', a[at]);
    for (; at < edits[i].a_end; ++at) append_line(out, '-', a[at]);
    for (auto j = edits[i].b_begin; j < edits[i].b_end; ++j) append_line(out, '+', b[j]);
  }
  for (; at < final.a_end + tail; ++at) append_line(out, ' ', a[at]);
}

void append_text(std::string& out, std::string_view before, std::string_view after) {
  const auto a = split_lines(before), b = split_lines(after);
  const auto edits = diff_lines(a, b);
  for (std::size_t first = 0; first < edits.size();) {
    auto last = first + 1;
    while (last < edits.size() && edits[last].a_begin - edits[last - 1].a_end <= 2 * context_lines) ++last;
    append_hunk(out, a, b, edits, first, last);
    first = last;
  }
}

std::string header(const std::string& path, const Side& before, const Side& after) {
  std::string out = "diff --git " + quote_path("a/" + path) + " " + quote_path("b/" + path) + "\n";
  const bool changed = before.blob != after.blob;
  std::string kept_mode;
  if (!before.node.is_content()) {
    out += "new file mode " + std::string(mode_of(after.node)) + "\n";
  } else if (!after.node.is_content()) {
    out += "deleted file mode " + std::string(mode_of(before.node)) + "\n";
  } else if (mode_of(before.node) != mode_of(after.node)) {
    out += "old mode " + std::string(mode_of(before.node)) + "\nnew mode " +
           std::string(mode_of(after.node)) + "\n";
  } else {
    kept_mode = " " + std::string(mode_of(after.node));
  }
  if (changed) out += "index " + hash_of(before) + ".." + hash_of(after) + kept_mode + "\n";
  return out;
}

std::string one_patch(const std::string& path, const Side& before, const Side& after) {
  auto out = header(path, before, after);
  if (before.blob == after.blob) return out;
  if (is_binary(before) || is_binary(after)) {
    out += "GIT binary patch\n";
    append_literal(out, after.content.value_or(""));
    // Without the reverse half git applies the patch forwards only.
    if (!before.node.is_content() || before.content) append_literal(out, before.content.value_or(""));
    return out;
  }
  const auto old_text = before.content.value_or(""), new_text = after.content.value_or("");
  if (old_text.empty() && new_text.empty()) return out;
  out += before.node.is_content() ? name_line("--- ", "a/", path) : "--- /dev/null\n";
  out += after.node.is_content() ? name_line("+++ ", "b/", path) : "+++ /dev/null\n";
  append_text(out, old_text, new_text);
  return out;
}

}  // namespace

BlobHash::BlobHash(std::uint64_t size) : context_(EVP_MD_CTX_new()) {
  AGENTROUTER_CHECK(EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), sha1(), nullptr) == 1);
  update("blob " + std::to_string(size));
  update(std::string_view("\0", 1));
}

BlobHash::~BlobHash() {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
}

void BlobHash::update(std::string_view bytes) {
  AGENTROUTER_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()) == 1);
}

std::string BlobHash::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  AGENTROUTER_CHECK(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest.data(), &size) == 1);
  return base::to_hex(digest.data(), size);
}

std::string file_patch(const std::string& path, const Side& before, const Side& after) {
  const bool both = before.node.is_content() && after.node.is_content();
  if (both && before.node.kind != after.node.kind) {
    return one_patch(path, before, Side{}) + one_patch(path, Side{}, after);
  }
  return one_patch(path, before, after);
}

std::string omission(const std::string& path, std::string_view why) {
  return "# left out: " + quote_path(path) + ": " + std::string(why) + "\n";
}

namespace {

bool looks_like_git(std::string_view name) {
  const std::string lower = base::ascii_lower(name.substr(0, 5));
  std::string_view rest;
  if (lower == "git~1") {
    rest = name.substr(5);
  } else if (lower.substr(0, 4) == ".git") {
    rest = name.substr(4);
  } else {
    return false;
  }
  const auto end = std::min(rest.find_first_not_of(" ."), rest.size());
  return end == rest.size() || rest[end] == ':' || rest[end] == '\\';
}

}  // namespace

bool is_applicable(std::string_view path, Kind kind) {
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    const auto name = path.substr(0, end);
    if (looks_like_git(name)) return false;
    if (kind == Kind::link && end == path.size() && name == ".gitmodules") return false;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return true;
}

std::string quote_path(std::string_view path) {
  constexpr std::string_view named = "\a\b\t\n\v\f\r\"\\";
  constexpr std::string_view letters = "abtnvfr\"\\";
  std::string out;
  bool quoted = false;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (const auto at = named.find(c); at != std::string_view::npos) {
      out += {'\\', letters[at]};
    } else if (byte < 0x20 || byte >= 0x7f) {
      const auto digit = [&](int shift) { return static_cast<char>('0' + (byte >> shift & 7)); };
      out += {'\\', digit(6), digit(3), digit(0)};
    } else {
      out += c;
      continue;
    }
    quoted = true;
  }
  return quoted ? "\"" + out + "\"" : out;
}

}  // namespace agentrouter::workspace
