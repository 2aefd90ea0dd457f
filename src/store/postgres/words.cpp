#include "store/postgres/words.h"

#include <sqlite3.h>

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"

namespace agentrouter::store::postgres {

namespace {

constexpr std::size_t most_words_asked = 64;
constexpr std::size_t longest_word = 200;  // an entry of a B-tree takes 2,700 bytes

// SQLite's tokenizer without a database of its own.
class Tokenizer {
 public:
  Tokenizer() {
    sqlite3_open_v2(":memory:", &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX,
                    nullptr);
    fts5_api* api = find_api();
    void* context = nullptr;
    const char* arguments[] = {"remove_diacritics", "2"};
    if (api == nullptr || api->xFindTokenizer(api, "unicode61", &context, &functions_) != SQLITE_OK ||
        functions_.xCreate(context, arguments, 2, &tokenizer_) != SQLITE_OK)
      base::throw_failure(base::Code::internal,
                          "SQLite's full text is missing: the library was built without FTS5");
  }
  ~Tokenizer() {
    if (tokenizer_ != nullptr) functions_.xDelete(tokenizer_);
    sqlite3_close(db_);
  }
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> words;
    const std::lock_guard lock(mutex_);
    functions_.xTokenize(tokenizer_, &words, FTS5_TOKENIZE_DOCUMENT, text.data(),
                         static_cast<int>(text.size()), &Tokenizer::take);
    return words;
  }

 private:
  fts5_api* find_api() {
    fts5_api* api = nullptr;
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_, "SELECT fts5(?1)", -1, &statement, nullptr) != SQLITE_OK) return nullptr;
    sqlite3_bind_pointer(statement, 1, &api, "fts5_api_ptr", nullptr);
    sqlite3_step(statement);
    sqlite3_finalize(statement);
    return api;
  }
  static int take(void* words, int, const char* token, int size, int, int) {
    static_cast<std::vector<std::string>*>(words)->emplace_back(token, static_cast<std::size_t>(size));
    return SQLITE_OK;
  }

  sqlite3* db_ = nullptr;
  fts5_tokenizer functions_{};
  Fts5Tokenizer* tokenizer_ = nullptr;
  std::mutex mutex_;
};

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  static Tokenizer tokenizer;
  auto words = tokenizer.split(base::to_utf8(text));
  for (auto& word : words) {
    if (word.size() > longest_word) word = "#" + base::Sha256::hex_of(word);
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return words;
}

std::vector<std::string> words_to_find(std::string_view text) {
  auto words = words_of(text);
  std::stable_sort(words.begin(), words.end(), [](const std::string& left, const std::string& right) {
    return left.size() > right.size();
  });
  words.resize(std::min(words.size(), most_words_asked));
  return words;
}

std::string answer_text(std::string_view payload) {
  const auto value = base::parse_json(payload, {.max_depth = 128});
  const auto* object = value ? value->if_object() : nullptr;
  return object == nullptr ? std::string() : std::string(base::get_string(*object, "text").value_or(""));
}

}  // namespace agentrouter::store::postgres
