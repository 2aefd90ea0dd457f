#pragma once
// What an S3 store answers, as XML. A store may be anybody's: documents are read strictly and with bounds (no
// DTD, no processing instructions, no entities of their own), and only the elements that are asked for
// matter.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace agentrouter::blobs {

// A page of a listing has 1,000 names of 1,024 bytes at most, each byte of them up to six as XML.
inline constexpr std::size_t answer_bytes = 8u << 20;

struct S3Error {
  std::string code;     // "NoSuchKey"; never empty
  std::string message;  // may be empty
  std::string region;   // where the bucket is, when the store says so
};

struct S3Object {
  std::string key;
  std::int64_t size = 0;
  base::Time changed;
};

struct S3Listing {
  std::vector<S3Object> objects;
  std::string next;  // the token of the next page; empty: this was the last
};

struct S3Upload {
  std::string key;
  std::string id;
  base::Time begun;
};

struct S3Uploads {
  std::vector<S3Upload> uploads;
  std::string next_key;  // both empty: this was the last page
  std::string next_id;
};

// Each errors with invalid, saying what is wrong with the document.
[[nodiscard]] base::Result<S3Error> parse_s3_error(std::string_view xml);
[[nodiscard]] base::Result<S3Listing> parse_listing(std::string_view xml);
[[nodiscard]] base::Result<S3Uploads> parse_uploads(std::string_view xml);
// The id of a multipart upload that has begun.
[[nodiscard]] base::Result<std::string> parse_upload_id(std::string_view xml);
// An upload may fail after the store has answered 200: then the document is an error.
[[nodiscard]] base::Result<std::optional<S3Error>> parse_completion(std::string_view xml);

// `text` within an element.
[[nodiscard]] std::string xml_text(std::string_view text);

// "2009-10-12T17:50:30.000Z", with or without the fraction. Errors: invalid.
[[nodiscard]] base::Result<base::Time> parse_s3_time(std::string_view text);
// "Fri, 24 May 2013 00:00:00 GMT", as in the Date field. Errors: invalid.
[[nodiscard]] base::Result<base::Time> parse_http_date(std::string_view text);

}  // namespace agentrouter::blobs
