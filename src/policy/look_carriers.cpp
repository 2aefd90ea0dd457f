// Programs that run code which their words only carry or name.

#include <algorithm>
#include <array>

#include "policy/look_through.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

bool in(string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool begins_with_any(string_view text, const auto& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(), [&](auto part) { return text.starts_with(part); });
}

// Programs that run what they are given, whatever their options are.
constexpr std::array<string_view, 121> runners{"node",        "nodejs",
                                               "deno",        "bun",
                                               "tsx",         "ts-node",
                                               "perl",        "ruby",
                                               "irb",         "php",
                                               "tclsh",       "wish",
                                               "expect",      "Rscript",
                                               "R",           "julia",
                                               "guile",       "racket",
                                               "ghci",        "jshell",
                                               "groovy",      "scala",
                                               "elixir",      "iex",
                                               "erl",         "osascript",
                                               "ed",          "ex",
                                               "vi",          "vim",
                                               "vimdiff",     "view",
                                               "nvim",        "emacs",
                                               "nano",        "pico",
                                               "less",        "more",
                                               "most",        "man",
                                               "info",        "gdb",
                                               "lldb",        "dc",
                                               "m4",          "sqlite3",
                                               "psql",        "mysql",
                                               "ftp",         "sftp",
                                               "ssh",         "scp",
                                               "rsync",       "socat",
                                               "ncat",        "nc",
                                               "telnet",      "screen",
                                               "tmux",        "at",
                                               "batch",       "crontab",
                                               "systemd-run", "docker",
                                               "podman",      "kubectl",
                                               "nsenter",     "unshare",
                                               "chroot",      "su",
                                               "runuser",     "pkexec",
                                               "setpriv",     "capsh",
                                               "valgrind",    "perf",
                                               "script",      "parallel",
                                               "entr",        "run-parts",
                                               "npx",         "bunx",
                                               "uvx",         "pipx",
                                               "rlwrap",      "start-stop-daemon",
                                               "setarch",     "linux32",
                                               "linux64",     "i386",
                                               "x86_64",      "ld.so",
                                               "prlimit",     "numactl",
                                               "firejail",    "bwrap",
                                               "proot",       "fakechroot",
                                               "eatmydata",   "choom",
                                               "gosu",        "tini",
                                               "dumb-init",   "daemonize",
                                               "dtach",       "pee",
                                               "ifne",        "mispipe",
                                               "lckdo",       "watchexec",
                                               "hyperfine",   "timelimit",
                                               "cpulimit",    "faketime",
                                               "systemd-cat", "systemd-inhibit",
                                               "dbus-launch", "ssh-agent",
                                               "xterm",       "zellij",
                                               "original-awk"};
constexpr std::array<string_view, 9> interpreter_names{"python", "pypy", "lua",  "luajit", "awk",
                                                       "gawk",   "mawk", "nawk", "java"};
constexpr std::array<string_view, 4> harmless_questions{"--version", "-V", "--help", "-version"};
// Of others "-v" means to say more while they run what they are sent.
constexpr std::array<string_view, 10> with_short_version{"node", "nodejs", "perl", "ruby",   "php",
                                                         "lua",  "bun",    "deno", "docker", "npx"};
// They run what they are sent whatever they are asked.
constexpr std::array<string_view, 4> never_ask{"tclsh", "wish", "expect", "erl"};

bool only_asks_about_itself(string_view name, const Words& words) {
  if (words.size() != 2 || !words[1].known || in(name, never_ask)) return false;
  return in(words[1].text, harmless_questions) || (words[1].text == "-v" && in(name, with_short_version));
}

// What is known of the beginning of a word.
string_view beginning_of(const Word& word) {
  return word.known ? word.text : word.prefix;
}

// Whether `text` is one of these long options, which may be shortened, or begins like it.
bool is_long_option(string_view text, const auto& options) {
  const auto name = text.substr(0, text.find('='));
  if (name.size() < 3 || !name.starts_with("--")) return false;
  return std::any_of(options.begin(), options.end(), [&](string_view option) {
    return option.starts_with(name) || name.starts_with(option);
  });
}

// "python3.12" is python.
string_view without_version(string_view name) {
  const auto end = name.find_last_not_of("0123456789.");
  return end == string_view::npos ? name : name.substr(0, end + 1);
}

Look runs_code(string_view name, const Words& words) {
  Look look;
  if (!only_asks_about_itself(without_version(name), words))
    look.carries(std::string(name) + " runs code that is not looked into");
  return look;
}

// "p", "10,20p", "$p", "/word/p", "s/a/b/g": what neither writes nor runs.
bool is_plain_sed(string_view script) {
  constexpr string_view odd = "\n;{}\\";
  if (script.find_first_of(odd) != string_view::npos) return false;
  if (script.starts_with('s') && script.size() > 3) {
    const char mark = script[1];
    const auto middle = script.find(mark, 2);
    const auto end = middle == string_view::npos ? middle : script.find(mark, middle + 1);
    return end != string_view::npos &&
           script.substr(end + 1).find_first_not_of("gpiI0123456789") == string_view::npos;
  }
  if (script.starts_with('/')) {
    const auto end = script.find('/', 1);
    if (end == string_view::npos) return false;
    script.remove_prefix(end + 1);
    return script == "p" || script == "d" || script == "=" || script == "q";
  }
  const auto rest = script.find_first_not_of("0123456789,$");
  if (rest == string_view::npos) return false;
  script.remove_prefix(rest);
  return script == "p" || script == "d" || script == "=" || script == "q";
}

Look sed(const Words& words) {
  Look look;
  bool has_script = false;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const string_view text = words[i].text;
    const bool option = words[i].known && text.size() > 1 && text.front() == '-';
    const bool expression = option && (text == "-e" || text == "--expression");
    if (may_be_option(words[i])) look.carries("which script sed runs is only known when it runs");
    if (option && !expression) {
      constexpr std::array<string_view, 8> plain{"-n", "-E", "-r", "-i", "-s", "--quiet", "--silent", "-ne"};
      if (!in(text, plain)) look.carries("sed runs a script that is not looked into");
      if (text != "-ne") continue;
    }
    if (has_script && !expression && text != "-ne") continue;
    if (expression || text == "-ne") ++i;
    has_script = true;
    if (i >= words.size() || !words[i].known || !is_plain_sed(words[i].text))
      look.carries("sed runs a script that is not looked into");
  }
  return look;
}

Look git(const Words& words) {
  constexpr std::array<string_view, 4> fine{"--no-pager", "--no-optional-locks", "--bare",
                                            "--literal-pathspecs"};
  constexpr std::array<string_view, 13> runs{
      "--upload-pack", "--receive-pack", "--exec",     "--open-files", "--ext-diff", "--config", "--template",
      "--textconv",    "--edit",         "--strategy", "--extcmd",     "--tool",     "--output"};
  constexpr std::array<string_view, 15> subcommands{
      "bisect",   "filter-branch", "difftool", "mergetool", "submodule", "config",     "daemon",    "hook",
      "instaweb", "send-email",    "svn",      "p4",        "rebase",    "remote-ext", "credential"};
  Look look;
  std::size_t at = 1;
  for (; at < words.size(); ++at) {
    const string_view text = words[at].text;
    if (!words[at].known) look.carries("what git is asked for is only known when it runs");
    if (!text.starts_with('-')) break;
    if (text == "-C") {
      ++at;
    } else if (!in(text, fine)) {
      look.carries("git " + std::string(text) + " may start a program");
      if (text == "-c") ++at;
    }
  }
  if (at < words.size() && in(words[at].text, subcommands))
    look.carries("git " + words[at].text + " may start a program");
  for (++at; at < words.size(); ++at) {
    const auto text = beginning_of(words[at]);
    const bool unclear = !words[at].known && text.starts_with('-');
    if (unclear || is_long_option(text, runs) || text.starts_with("-O") ||
        text.find("ext::") != string_view::npos)
      look.carries("git " + words[at].text + " may start a program");
  }
  return look;
}

// Options by which an archiver or a compiler starts a program; long ones may be shortened.
Look tar(const Words& words) {
  constexpr std::array<string_view, 8> runs{"--ch", "--to", "--us", "--rs", "--in", "--ne", "--rm", "--f"};
  Look look;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const string_view text = words[i].text;
    const bool letters = text.starts_with('-') ? !text.starts_with("--") : i == 1;
    const bool starts =
        begins_with_any(text, runs) || (letters && text.find_first_of("IF") != string_view::npos);
    if (starts || may_be_option(words[i])) look.carries("tar may start a program by " + std::string(text));
  }
  return look;
}

// Long options, and a letter that may stand behind others.
Look with_options(string_view name, const Words& words, std::initializer_list<string_view> options,
                  string_view letters = "", string_view others = "") {
  Look look;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const string_view text = words[i].text;
    bool named = is_long_option(text, options);
    if (text.starts_with('-') && !text.starts_with("--")) {
      const auto letter = text.find_first_not_of(others, 1);
      named = letter != string_view::npos && letters.find(text[letter]) != string_view::npos;
    }
    if (named || may_be_option(words[i]))
      look.carries(std::string(name) + " may start a program by " + std::string(text));
  }
  return look;
}

Look make(const Words& words) {
  auto look = with_options("make", words, {"--eval"}, "E", "bBdeikLnpqrRsStvw");
  for (const auto& word : words) {
    if (beginning_of(word).starts_with("SHELL=") || beginning_of(word).starts_with(".SHELL"))
      look.carries("make starts programs by " + word.text);
  }
  return look;
}

// What is no format and no option that only says how a date is shown sets the clock.
Look date(const Words& words) {
  Look look;
  for (std::size_t at = 1; at < words.size(); ++at) {
    const auto options = read_options(words, at,
                                      {.flags = "uR",
                                       .values = "dfr",
                                       .glued = "I",
                                       .long_flags = {"utc", "universal", "rfc-email", "help", "version"},
                                       .long_values = {"date", "file", "reference", "rfc-3339"},
                                       .long_glued = {"iso-8601"}});
    at = options ? options->next : at;
    if (!options || (at < words.size() && !beginning_of(words[at]).starts_with('+')))
      look.hides("date may set the clock");
  }
  return look;
}

}  // namespace

std::optional<Look> look_at_carrier(string_view name, const Words& words) {
  if (in(name, runners) || in(without_version(name), interpreter_names) || in(without_version(name), runners))
    return runs_code(name, words);
  if (name == "sed" || name == "gsed") return sed(words);
  if (name == "git") return git(words);
  if (name == "tar" || name == "bsdtar" || name == "gtar") return tar(words);
  if (name == "date") return date(words);
  if (name == "zip") return with_options(name, words, {"--unzip-command", "--test"}, "TU", "qrmjv0123456789");
  if (name == "rg")
    return with_options(name, words, {"--pre", "--hostname-bin", "--search-zip"}, "z",
                        "uUinwvolcSsFPHNILaq0");
  if (name == "sort") return with_options(name, words, {"--compress-program"});
  if (name == "split") return with_options(name, words, {"--filter"});
  if (name == "wget")
    return with_options(name, words, {"--use-askpass", "--execute", "--config"}, "e", "qcdvbNSxrkKHLEpmn");
  if (name == "curl") return with_options(name, words, {"--config"}, "K", "sSLfkivIgGjJNOqaRlBpn#0123456");
  if (name == "make" || name == "gmake") return make(words);
  if (name == "npm" || name == "pnpm" || name == "yarn") {
    if (words.size() > 1 && (words[1].text == "exec" || words[1].text == "x" || words[1].text == "dlx"))
      return runs_code(name, words);
  }
  return std::nullopt;
}

}  // namespace agentrouter::policy
