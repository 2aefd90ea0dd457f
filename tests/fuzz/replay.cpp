// Drives a fuzz target without libFuzzer: every file of the corpus folder, then seeded mutations of them.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int usual_mutations = 3000;

void run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

std::string mutate(std::string bytes, std::mt19937& random) {
  const auto pick = [&](std::size_t below) { return below == 0 ? 0 : std::uniform_int_distribution<std::size_t>(0, below - 1)(random); };
  for (std::size_t edits = 1 + pick(6); edits > 0; --edits) {
    const auto at = pick(bytes.size());
    switch (pick(4)) {
      case 0: bytes.insert(at, 1, static_cast<char>(pick(256))); break;
      case 1: bytes.erase(at, 1 + pick(8)); break;
      case 2: bytes.insert(at, bytes.substr(pick(bytes.size()), pick(64))); break;
      default:
        if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> corpus{""};
  if (argc > 1 && std::filesystem::is_directory(argv[1])) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
      std::ifstream file(entry.path(), std::ios::binary);
      corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }
  for (const auto& bytes : corpus) run(bytes);
  const int mutations = argc > 2 ? std::stoi(argv[2]) : usual_mutations;
  std::mt19937 random(20261124);
  for (int i = 0; i < mutations; ++i) run(mutate(corpus[static_cast<std::size_t>(i) % corpus.size()], random));
  std::cout << corpus.size() << " inputs and " << mutations << " mutations passed\n";
  return 0;
}
