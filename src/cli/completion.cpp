#include "cli/completion.h"

#include "cli/cli.h"
#include "cli/parse.h"

namespace agentrouter::cli {
namespace {

std::string words(const std::vector<std::string>& list) {
  std::string text;
  for (const auto& word : list) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string all_names(const std::vector<CommandInfo>& commands) {
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command.name);
  for (const auto& command : server_commands()) names.emplace_back(command.name);
  return words(names);
}

// Inside single quotes of any of the three shells.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string bash(const std::vector<CommandInfo>& commands) {
  std::string flags;
  std::string values;
  for (const auto& command : commands) {
    std::vector<std::string> names;
    for (const auto& flag : command.flags) {
      names.insert(names.end(), flag.names.begin(), flag.names.end());
      if (flag.choices.empty()) continue;
      values += "    " + command.name + ":" + flag.names.front() + ") COMPREPLY=($(compgen -W '" +
                words(flag.choices) + "' -- \"$word\")); return ;;\n";
    }
    flags += "    " + command.name + ") flags='" + words(names) + "' ;;\n";
  }
  return "# Bash completion of agentrouter: source <(agentrouter completion bash)\n"
         "_agentrouter() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} "
         "flags=\n"
         "  COMPREPLY=()\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W '" +
         all_names(commands) +
         "' -- \"$word\")); return\n"
         "  fi\n"
         "  case $command:$before in\n"
         "    completion:completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$word\")); return ;;\n" +
         values +
         "  esac\n"
         "  case $command in\n" +
         flags +
         "  esac\n"
         "  case $word in\n"
         "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n"
         "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _agentrouter agentrouter\n";
}

// A specification of _arguments: brackets and colons have a meaning there.
std::string zsh_flag(const FlagInfo& flag, const std::string& name) {
  std::string summary;
  for (const char c : flag.summary) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') summary += '\\';
    summary += c;
  }
  auto spec = name + "[" + summary + "]";
  if (flag.takes_value)
    spec += flag.choices.empty() ? ":value:_files" : ":value:(" + words(flag.choices) + ")";
  return shell_quoted(spec);
}

std::string zsh(const std::vector<CommandInfo>& commands) {
  std::string names;
  std::string cases;
  for (const auto& command : commands) {
    names += "      " + shell_quoted(command.name + ":" + command.summary) + "\n";
    cases += "    " + command.name + ") _arguments -s";
    for (const auto& flag : command.flags) {
      for (const auto& name : flag.names) cases += " " + zsh_flag(flag, name);
    }
    cases += command.name == "completion" ? " '*:shell:(bash zsh fish)' ;;\n" : " '*:file:_files' ;;\n";
  }
  for (const auto& command : server_commands()) {
    names += "      " + shell_quoted(std::string(command.name) + ":" + std::string(command.summary)) + "\n";
  }
  return "#compdef agentrouter\n"
         "# Zsh completion of agentrouter: source <(agentrouter completion zsh)\n"
         "_agentrouter() {\n"
         "  local -a commands\n"
         "  if (( CURRENT == 2 )); then\n"
         "    commands=(\n" +
         names +
         "    )\n"
         "    _describe command commands; return\n"
         "  fi\n"
         "  local command=$words[2]\n"
         "  shift words; (( CURRENT-- ))\n"
         "  case $command in\n" +
         cases +
         "    *) _files ;;\n"
         "  esac\n"
         "}\n"
         "compdef _agentrouter agentrouter\n";
}

std::string fish(const std::vector<CommandInfo>& commands) {
  std::string text =
      "# Fish completion of agentrouter: agentrouter completion fish | source\n"
      "complete -c agentrouter -n '__fish_use_subcommand' -f\n";
  const auto add_command = [&](std::string_view name, std::string_view summary) {
    text += "complete -c agentrouter -n '__fish_use_subcommand' -a " + std::string(name) + " -d " +
            shell_quoted(summary) + "\n";
  };
  for (const auto& command : commands) add_command(command.name, command.summary);
  for (const auto& command : server_commands()) add_command(command.name, command.summary);
  for (const auto& command : commands) {
    for (const auto& flag : command.flags) {
      text += "complete -c agentrouter -n '__fish_seen_subcommand_from " + command.name + "'";
      for (const auto& name : flag.names) {
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (!flag.choices.empty())
        text += " -x -a '" + words(flag.choices) + "'";
      else if (flag.takes_value)
        text += " -r";
      text += " -d " + shell_quoted(flag.summary) + "\n";
    }
  }
  return text + "complete -c agentrouter -n '__fish_seen_subcommand_from completion' -x -a 'bash zsh fish'\n";
}

}  // namespace

std::string completion_script(std::string_view shell) {
  const auto commands = describe_commands();
  if (shell == "bash") return bash(commands);
  if (shell == "zsh") return zsh(commands);
  return fish(commands);
}

}  // namespace agentrouter::cli
