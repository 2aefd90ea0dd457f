#include "blobs/s3/s3_answer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "blobs/s3/xml.h"

namespace agentrouter::blobs {

namespace {

using base::Code;
using base::Result;

constexpr std::size_t most_text = 1024;

tl::unexpected<base::Error> unreadable(const std::string& what) {
  return base::fail(Code::invalid, "cannot read the store's answer: " + what);
}

Result<XmlElement> document(std::string_view xml, std::string_view root) {
  AGENTROUTER_TRY(auto parsed, parse_xml(xml, {.bytes = answer_bytes}));
  if (parsed.name != root)
    return unreadable("it is <" + parsed.name + "> and not <" + std::string(root) + ">");
  return parsed;
}

template <class Number>
Result<Number> number(std::string_view text) {
  Number value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size() || value < 0)
    return unreadable("\"" + std::string(text.substr(0, 40)) + "\" is no number");
  return value;
}

Result<bool> flag(const XmlElement& of, std::string_view name) {
  const auto text = of.text_of(name);
  if (text == "true") return true;
  if (text == "false" || text.empty()) return false;
  return unreadable("<" + std::string(name) + "> is neither true nor false");
}

S3Error error_of(const XmlElement& root) {
  const auto cut = [&root](std::string_view name) {
    return std::string(root.text_of(name).substr(0, most_text));
  };
  S3Error error{cut("Code"), cut("Message"), cut("Region")};
  if (error.code.empty()) error.code = "UnknownError";
  return error;
}

// Date and time of day of a real calendar.
Result<base::Time> time_of(int year, unsigned month, unsigned day, int hour, int minute, int second) {
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (!date.ok() || year < 1970 || hour > 23 || minute > 59 || second > 60)
    return unreadable("there is no such time");
  return base::Time(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) +
                    std::chrono::minutes(minute) + std::chrono::seconds(second));
}

}  // namespace

Result<S3Error> parse_s3_error(std::string_view xml) {
  AGENTROUTER_TRY(const auto root, document(xml, "Error"));
  return error_of(root);
}

Result<S3Listing> parse_listing(std::string_view xml) {
  AGENTROUTER_TRY(const auto root, document(xml, "ListBucketResult"));
  S3Listing listing;
  for (const auto& one : root.children) {
    if (one.name != "Contents") continue;
    S3Object object;
    object.key = one.text_of("Key");
    if (object.key.empty()) return unreadable("an object has no name");
    AGENTROUTER_TRY(object.size, number<std::int64_t>(one.text_of("Size")));
    AGENTROUTER_TRY(object.changed, parse_s3_time(one.text_of("LastModified")));
    listing.objects.push_back(std::move(object));
  }
  AGENTROUTER_TRY(const bool more, flag(root, "IsTruncated"));
  if (!more) return listing;
  listing.next = root.text_of("NextContinuationToken");
  if (listing.next.empty()) return unreadable("there is more, and no token to ask for it");
  return listing;
}

Result<S3Uploads> parse_uploads(std::string_view xml) {
  AGENTROUTER_TRY(const auto root, document(xml, "ListMultipartUploadsResult"));
  S3Uploads uploads;
  for (const auto& one : root.children) {
    if (one.name != "Upload") continue;
    S3Upload upload{std::string(one.text_of("Key")), std::string(one.text_of("UploadId")), {}};
    if (upload.key.empty() || upload.id.empty()) return unreadable("an upload has no name");
    AGENTROUTER_TRY(upload.begun, parse_s3_time(one.text_of("Initiated")));
    uploads.uploads.push_back(std::move(upload));
  }
  AGENTROUTER_TRY(const bool more, flag(root, "IsTruncated"));
  if (!more) return uploads;
  uploads.next_key = root.text_of("NextKeyMarker");
  uploads.next_id = root.text_of("NextUploadIdMarker");
  if (uploads.next_key.empty()) return unreadable("there is more, and no marker to ask for it");
  return uploads;
}

Result<std::string> parse_upload_id(std::string_view xml) {
  AGENTROUTER_TRY(const auto root, document(xml, "InitiateMultipartUploadResult"));
  const auto id = root.text_of("UploadId");
  if (id.empty() || id.size() > most_text) return unreadable("the upload has no id");
  return std::string(id);
}

Result<std::optional<S3Error>> parse_completion(std::string_view xml) {
  AGENTROUTER_TRY(const auto root, parse_xml(xml, {.bytes = answer_bytes}));
  if (root.name == "Error") return std::optional(error_of(root));
  if (root.name != "CompleteMultipartUploadResult") return unreadable("it is <" + root.name + ">");
  return std::optional<S3Error>();
}

std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

Result<base::Time> parse_s3_time(std::string_view text) {
  // 2009-10-12T17:50:30[.000]Z
  const bool shape = text.size() >= 20 && text[4] == '-' && text[7] == '-' && text[10] == 'T' &&
                     text[13] == ':' && text[16] == ':' && text.back() == 'Z' &&
                     (text.size() == 20 || text[19] == '.');
  if (!shape) return unreadable("\"" + std::string(text.substr(0, 40)) + "\" is no time");
  AGENTROUTER_TRY(const int year, number<int>(text.substr(0, 4)));
  AGENTROUTER_TRY(const int month, number<int>(text.substr(5, 2)));
  AGENTROUTER_TRY(const int day, number<int>(text.substr(8, 2)));
  AGENTROUTER_TRY(const int hour, number<int>(text.substr(11, 2)));
  AGENTROUTER_TRY(const int minute, number<int>(text.substr(14, 2)));
  AGENTROUTER_TRY(const int second, number<int>(text.substr(17, 2)));
  return time_of(year, static_cast<unsigned>(month), static_cast<unsigned>(day), hour, minute, second);
}

Result<base::Time> parse_http_date(std::string_view text) {
  // Fri, 24 May 2013 00:00:00 GMT
  static constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (text.size() != 29 || !text.ends_with(" GMT") || text[3] != ',')
    return unreadable("its Date is no date");
  const auto* const month = std::find(months.begin(), months.end(), text.substr(8, 3));
  if (month == months.end()) return unreadable("its Date has no month");
  AGENTROUTER_TRY(const int day, number<int>(text.substr(5, 2)));
  AGENTROUTER_TRY(const int year, number<int>(text.substr(12, 4)));
  AGENTROUTER_TRY(const int hour, number<int>(text.substr(17, 2)));
  AGENTROUTER_TRY(const int minute, number<int>(text.substr(20, 2)));
  AGENTROUTER_TRY(const int second, number<int>(text.substr(23, 2)));
  return time_of(year, static_cast<unsigned>(month - months.begin() + 1), static_cast<unsigned>(day), hour,
                 minute, second);
}

}  // namespace agentrouter::blobs
