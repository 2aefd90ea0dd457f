#include "model/cassette_name.h"

namespace agentrouter::model {
namespace {

constexpr std::string_view of_turn = "+turn";
constexpr std::size_t most_digits = 10;

}  // namespace

bool is_cassette_name(std::string_view name) {
  return !name.empty() && name.size() <= cassette_name_bytes && name[0] != '.' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
             std::string_view::npos;
}

std::string cassette_of_turn(const std::string& name, int turn) {
  return turn > 1 ? name + std::string(of_turn) + std::to_string(turn) : name;
}

bool is_cassette(std::string_view name) {
  const auto plus = name.find(of_turn);
  if (plus == std::string_view::npos) return is_cassette_name(name);
  const auto turn = name.substr(plus + of_turn.size());
  return is_cassette_name(name.substr(0, plus)) && !turn.empty() && turn.size() <= most_digits &&
         turn.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace agentrouter::model
