#include "cli/arguments.hpp"

#include "cli/pool_ref.hpp"
#include "common/given_text.hpp"
#include "common/help_formatter.hpp"
#include "common/misuse.hpp"

#include <CLI/App.hpp>
#include <CLI/Error.hpp>
#include <CLI/Option.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

namespace sema {
namespace {

class Options {
  public:
    Options(const CLI::App& app, const CLI::App* subcommand) : app_(app), subcommand_(subcommand) {}

    // How many of the words from this one on belong to its options; 0 where one of them is not known.
    std::size_t length(const std::string& word) const {
        if (word.rfind("--", 0) != 0) return length_of_bundle(word);
        const std::string name = word.substr(0, word.find('='));
        const CLI::Option* option = find(name);
        if (option == nullptr) return 0;
        return takes_value(*option) && word.size() == name.size() ? 2 : 1;
    }

  private:
    // One letter after the other, until there is one whose value is the rest or the next word.
    std::size_t length_of_bundle(const std::string& word) const {
        for (std::size_t i = 1; i < word.size(); ++i) {
            const CLI::Option* option = find(std::string("-") + word[i]);
            if (option == nullptr) return 0;
            if (takes_value(*option)) return i + 1 == word.size() ? 2 : 1;
        }
        return 1;
    }

    const CLI::Option* find(const std::string& name) const {
        const CLI::Option* option = subcommand_ != nullptr ? subcommand_->get_option_no_throw(name) : nullptr;
        return option != nullptr ? option : app_.get_option_no_throw(name);
    }

    static bool takes_value(const CLI::Option& option) { return option.get_expected_max() > 0; }

    const CLI::App& app_;
    const CLI::App* subcommand_;
};

// What messages call an option: by its long name, where it has one.
std::string called(const std::string& names) {
    const auto comma = names.rfind(',');
    return comma == std::string::npos ? names : names.substr(comma + 1);
}

// The value, where the text is one; else the parser gets the reason.
template <class Value>
Value checked(const std::string& names, Expected<Value> value) {
    if (!value) throw CLI::ValidationError(called(names), value.error().message);
    return *std::move(value);
}

unsigned number_in(const std::string& names, const std::string& text, NumberRange range) {
    return static_cast<unsigned>(checked(names, parse_number(text, range)));
}

// What other programs of this kind call it.
constexpr std::array<Synonym, 27> synonyms = {
    {{"acquire", "borrow"},    {"cancel", "callbacks"}, {"create", "new"},       {"disable", "slot"},
     {"enable", "slot"},       {"exec", "run"},         {"extend", "keepalive"}, {"free", "return"},
     {"info", "inspect"},      {"kill", "revoke"},      {"list", "pools"},       {"lock", "borrow"},
     {"log", "history"},       {"ls", "pools"},         {"out", "slot"},         {"queue", "holders"},
     {"refresh", "keepalive"}, {"release", "return"},   {"remove", "delete"},    {"renew", "keepalive"},
     {"rm", "delete"},         {"scale", "resize"},     {"show", "inspect"},     {"statistics", "stats"},
     {"status", "inspect"},    {"unlock", "return"},    {"version", "--version"}}};

// Shows `run`'s command in its usage line.
class CommandHelpFormatter : public HelpFormatter {
  public:
    std::string make_usage(const CLI::App* app, std::string name) const override {
        std::string usage = Formatter::make_usage(app, std::move(name));
        const std::string command = "[CMD]";
        if (const auto at = usage.find(command); at != std::string::npos)
            usage.replace(at, command.size(), "[--] CMD [ARG...]");
        return usage;
    }
};

// What is read of an option or argument: `type` is the value's name in the help, where an argument's own says
// it.
void finish(CLI::Option& option, const std::string& type) {
    option.type_name(option.get_positional() ? "" : type)->required(option.get_positional());
}

CLI::Option& add_reader(CLI::App& app, const std::string& names,
                        const std::function<void(const std::string&)>& read, const std::string& type,
                        const std::string& help) {
    CLI::Option& option = *app.add_option_function<std::string>(names, read, help);
    finish(option, type);
    return option;
}

// The parser would take the next word for the value of `--name=`.
std::vector<std::string> readable(std::vector<std::string> words) {
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i].rfind("--", 0) != 0 || words[i].find('=') + 1 != words[i].size()) continue;
        words[i].pop_back();
        words.insert(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, "");
    }
    return words;
}

// Even where nothing stands in it: the parser would take that for a variable that is not set.
bool pool_is_in_environment() {
    return environment_value("SEMACTL_POOL").has_value();
}

}  // namespace

CommandLine part_command_line(const CLI::App& app, const std::vector<std::string>& words) {
    const CLI::App* run = nullptr;
    std::size_t pools = 0;
    // Where the command begins if no -- is to come.
    std::optional<std::size_t> second_word;
    std::size_t i = 0;
    while (i < words.size()) {
        const std::string& word = words[i];
        if (word == "--") break;
        if (word.size() > 1 && word.front() == '-') {
            const std::size_t length = Options(app, run).length(word);
            if (length == 0 && second_word) break;
            // The parser has the better words for an option that doesn't exist.
            if (length == 0 && run == nullptr) return {readable(words), {}};
            if (length == 0)
                return {readable({words.begin(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1}), {}};
            const bool lacks_value = length == 2 && i + 1 < words.size() && words[i + 1] == "--";
            i += lacks_value ? 1 : length;
            continue;
        }
        if (run == nullptr) {
            if (word == "dispatch") {
                const auto mark = std::find(words.begin(), words.end(), "--");
                if (mark != words.end()) return {readable({words.begin(), mark}), {mark + 1, words.end()}};
            }
            if (word != "run") return {readable(words), {}};
            run = app.get_subcommand("run");
        } else if (++pools == 2) {
            second_word = i;
        }
        ++i;
    }
    const bool is_marked = i < words.size() && words[i] == "--";
    if (!is_marked && second_word) i = *second_word;
    if (run == nullptr || i >= words.size()) return {readable(words), {}};
    const auto own_end = words.begin() + static_cast<std::ptrdiff_t>(i);
    return {readable({words.begin(), own_end}), {is_marked ? own_end + 1 : own_end, words.end()}};
}

std::vector<std::string> with_help_as_flag(const CLI::App& app, std::vector<std::string> words) {
    std::size_t i = 0;
    while (i < words.size() && words[i].size() > 1 && words[i].front() == '-') {
        const std::size_t length = Options(app, nullptr).length(words[i]);
        if (length == 0) return words;
        i += length;
    }
    if (i >= words.size() || words[i] != "help") return words;
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(i));
    const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
    const bool is_known = i >= words.size() || words[i].front() == '-' ||
                          std::any_of(commands.begin(), commands.end(),
                                      [&](const CLI::App* command) { return command->check_name(words[i]); });
    // Else the parser says what is wrong with the word.
    if (is_known) words.emplace_back("--help");
    return words;
}

std::string describe_misuse(const CLI::App& app, const CLI::ParseError& error,
                            const std::vector<std::string>& words) {
    return Misuse(app, words, synonyms).describe(error);
}

void set_help_style(CLI::App& app) {
    const auto formatter = std::make_shared<CommandHelpFormatter>();
    formatter->column_width(32);
    app.formatter(formatter);
}

CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& what,
                      const std::string& more) {
    CLI::App& command = *app.add_subcommand(name, what);
    command.footer("Options of all commands (--server, --config, --output, ...): semactl --help\n\n" + more);
    return command;
}

void set_alias(CLI::App& command, const std::string& name) {
    command.alias(name);
}

void on_chosen(CLI::App& command, std::function<void()> action) {
    command.callback(std::move(action));
}

void add_text(CLI::App& app, const std::string& names, std::string& target, const std::string& type,
              const std::string& help) {
    const auto read = [&target, names](const std::string& text) {
        if (text.empty()) throw CLI::ValidationError(called(names), "it is empty");
        target = text;
    };
    add_reader(app, names, read, type, help);
}

void add_optional_text(CLI::App& app, const std::string& names, std::optional<std::string>& target,
                       const std::string& type, const std::string& help) {
    add_reader(
        app, names, [&target](const std::string& text) { target = text; }, type, help);
}

void add_texts(CLI::App& app, const std::string& names, std::vector<std::string>& target,
               const std::string& type, const std::string& help) {
    finish(*app.add_option(names, target, help)->allow_extra_args(false), type);
}

void add_flag(CLI::App& app, const std::string& names, bool& target, const std::string& help) {
    app.add_flag(names, target, help)->disable_flag_override();
}

void add_choice(CLI::App& app, const std::string& names, std::vector<std::string> words,
                std::function<void(const std::string&)> choose, const std::string& type,
                const std::string& help) {
    const auto read = [words = std::move(words), choose = std::move(choose), names](const std::string& text) {
        if (std::find(words.begin(), words.end(), text) == words.end())
            throw CLI::ValidationError(called(names), "'" + text + "' is not " + alternatives(words));
        choose(text);
    };
    add_reader(app, names, read, type, help);
}

void add_duration(CLI::App& app, const std::string& names, std::optional<Duration>& target,
                  const std::string& help) {
    add_reader(
        app, names,
        [&target, names](const std::string& text) { target = checked(names, parse_duration(text)); }, "T",
        help);
}

void add_ttl(CLI::App& app, std::optional<Duration>& target, const std::string& help) {
    const std::string name = "--ttl";
    const auto read = [&target, name](const std::string& text) {
        target = checked(name, parse_duration(text));
        if (*target <= Duration::zero()) throw CLI::ValidationError(name, "it must be more than 0");
    };
    add_reader(app, name, read, "T", help);
}

void add_number(CLI::App& app, const std::string& names, unsigned& target, const std::string& help,
                NumberRange range) {
    const auto read = [&target, names, range](const std::string& text) {
        target = number_in(names, text, range);
    };
    add_reader(app, names, read, "N", help);
}

void add_optional_number(CLI::App& app, const std::string& names, std::optional<unsigned>& target,
                         const std::string& help, NumberRange range) {
    const auto read = [&target, names, range](const std::string& text) {
        target = number_in(names, text, range);
    };
    add_reader(app, names, read, "N", help);
}

void add_signed(CLI::App& app, const std::string& names, std::optional<std::int64_t>& target,
                const std::string& help, NumberRange range) {
    const auto read = [&target, names, range](const std::string& text) {
        target = checked(names, parse_signed(text, range));
    };
    add_reader(app, names, read, "N", help);
}

void add_pool(CLI::App& app, std::string& target) {
    CLI::Option& option =
        *app.add_option("POOL", target, "A pool's UUID, an alias, env:NAME or file:PATH ($SEMACTL_POOL)");
    if (pool_is_in_environment()) target = pool_of_environment;
    option.type_name("")->required(!pool_is_in_environment());
}

void add_named_pool(CLI::App& app, std::string& target) {
    add_text(app, "POOL", target, "", "A pool's UUID, an alias, env:NAME or file:PATH");
}

void add_pools_and_command(CLI::App& app, std::vector<std::string>& pools) {
    CLI::Option& option =
        *app.add_option("POOL", pools, "Pools' UUIDs, aliases, env:NAME or file:PATH ($SEMACTL_POOL)");
    if (pool_is_in_environment()) pools = {pool_of_environment};
    option.type_name("")->required(!pool_is_in_environment());
    app.add_option("CMD", "The command and its arguments, behind --")->type_name("")->expected(0, 1);
}

void add_words(CLI::App& app, const std::string& names, std::vector<std::string>& target,
               const std::string& help) {
    app.add_option(names, target, help)->type_name("")->required();
}

void add_lease(CLI::App& app, std::string& target) {
    add_text(app, "LEASE", target, "", "The lease's UUID, env:NAME or file:PATH");
}

void add_fence(CLI::App& app, std::optional<std::uint64_t>& target, const std::string& help) {
    const auto read = [&target](const std::string& text) {
        constexpr NumberRange range{0, std::numeric_limits<std::int64_t>::max()};
        target = static_cast<std::uint64_t>(checked("--fence", parse_signed(text, range)));
    };
    add_reader(app, "--fence", read, "N", help);
}

}  // namespace sema
