// covers: src/keeper/fetch/lfs_pointers.cpp
// What git lists of a hostile repository's LFS pointers, from arbitrary bytes: the same pointers however it is cut, each with an oid
// that is nothing but hex digits, and commands in which a path stays one argument below the checkout.
#include <algorithm>

#include "bytes_file.h"
#include "keeper/fetch/lfs_pointers.h"
#include "require.h"

using namespace agentrouter;

namespace {

std::vector<keeper::LfsPointer> read(std::string_view text, std::size_t piece) {
  keeper::PointerList list;
  for (std::size_t at = 0; at < text.size(); at += piece) list.feed(text.substr(at, piece));
  list.finish();
  return list.pointers();
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const auto text = bytes_of(data + 1, size - 1);
  const auto whole = read(text, text.size() + 1), pieces = read(text, 1 + data[0] % 20);
  require(whole.size() == pieces.size());
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const auto& pointer = whole[i];
    require(pointer.path == pieces[i].path && pointer.oid == pieces[i].oid && pointer.size == pieces[i].size);
    require(pointer.oid.size() == 64 && std::ranges::all_of(pointer.oid, is_hex));
    paths.push_back(pointer.path);
    for (const auto& argv : {keeper::write_object(pointer.path), keeper::copy_object(pointer), keeper::hash_of_file(pointer.path)}) {
      const auto of_path = [&](const std::string& argument) { return argument.ends_with("/" + pointer.path); };
      require(std::ranges::any_of(argv, of_path) && !argv.back().starts_with("-"));
    }
  }
  if (!paths.empty()) require(keeper::assume_unchanged(paths).size() > paths.size());
  std::ignore = keeper::find_pointers({});
  return 0;
}
