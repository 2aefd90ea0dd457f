// Signs what it reads: one request as JSON a line in, what the signer makes of it a line out.
#include <iostream>

#include "base/json.h"
#include "blobs/s3/sigv4.h"

using namespace agentrouter;

namespace {

std::string text_of(const json::object& order, std::string_view key) {
  return std::string(base::get_string(order, key).value_or(""));
}

blobs::Pairs pairs_of(const json::object& order, std::string_view key) {
  blobs::Pairs pairs;
  for (const auto& pair : order.at(key).as_array())
    pairs.emplace_back(std::string(pair.as_array()[0].as_string()),
                       std::string(pair.as_array()[1].as_string()));
  return pairs;
}

json::object answer(const json::object& order) {
  const blobs::SignedRequest request{text_of(order, "method"),   text_of(order, "host"),
                                     text_of(order, "path"),     pairs_of(order, "query"),
                                     pairs_of(order, "headers"), text_of(order, "payload")};
  const blobs::Credentials keys{text_of(order, "access"), text_of(order, "secret"), text_of(order, "token")};
  const blobs::SigningScope scope{text_of(order, "region"),
                                  base::Time(std::chrono::seconds(order.at("at").to_number<std::int64_t>()))};
  if (const auto lifetime = base::get_int(order, "lifetime"))
    return {{"query", blobs::presign(request, keys, scope, std::chrono::seconds(*lifetime))}};
  json::object headers;
  for (const auto& [name, value] : blobs::sign(request, keys, scope)) headers[name] = value;
  return {{"headers", std::move(headers)},
          {"target", blobs::escape_path(request.path) + "?" + blobs::escape_query(request.query)}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);)
    std::cout << base::to_text(answer(base::value_or_throw(base::parse_json(line)).as_object())) << "\n";
}
