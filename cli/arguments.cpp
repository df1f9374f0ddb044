#include "cli/arguments.hpp"

#include <CLI/Error.hpp>
#include <CLI/Option.hpp>

#include <charconv>
#include <optional>
#include <system_error>

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

unsigned number_in(const std::string& names, const std::string& text, NumberRange range) {
    unsigned number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, status] = std::from_chars(text.data(), end, number);
    if (status != std::errc() || rest != end)
        throw CLI::ValidationError(names, "'" + text + "' is not a whole number");
    if (number < range.least || number > range.most)
        throw CLI::ValidationError(names, text + " is not from " + std::to_string(range.least) + " to " +
                                              std::to_string(range.most));
    return number;
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
            if (length == 0 && run == nullptr) return {words, {}};
            if (length == 0) return {{words.begin(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1}, {}};
            i += length;
            continue;
        }
        if (run == nullptr) {
            if (word != "run") return {words, {}};
            run = app.get_subcommand("run");
        } else if (++pools == 2) {
            second_word = i;
        }
        ++i;
    }
    const bool is_marked = i < words.size() && words[i] == "--";
    if (!is_marked && second_word) i = *second_word;
    if (run == nullptr || i >= words.size()) return {words, {}};
    const auto own_end = words.begin() + static_cast<std::ptrdiff_t>(i);
    return {{words.begin(), own_end}, {is_marked ? own_end + 1 : own_end, words.end()}};
}

std::string CommandHelpFormatter::make_usage(const CLI::App* app, std::string name) const {
    std::string usage = Formatter::make_usage(app, std::move(name));
    const std::string command = "[CMD]";
    if (const auto at = usage.find(command); at != std::string::npos)
        usage.replace(at, command.size(), "[--] CMD [ARG...]");
    return usage;
}

CLI::Option* add_duration(CLI::App& app, const std::string& names, std::optional<Duration>& target,
                          const std::string& help) {
    return app
        .add_option_function<std::string>(
            names,
            [&target, names](const std::string& text) {
                const auto duration = parse_duration(text);
                if (!duration) throw CLI::ValidationError(names, duration.error().message);
                target = *duration;
            },
            help)
        ->type_name("T");
}

CLI::Option* add_number(CLI::App& app, const std::string& names, unsigned& target, const std::string& help,
                        NumberRange range) {
    return app
        .add_option_function<std::string>(
            names,
            [&target, names, range](const std::string& text) { target = number_in(names, text, range); },
            help)
        ->type_name("N");
}

CLI::Option* add_optional_number(CLI::App& app, const std::string& names, std::optional<unsigned>& target,
                                 const std::string& help, NumberRange range) {
    return app
        .add_option_function<std::string>(
            names,
            [&target, names, range](const std::string& text) { target = number_in(names, text, range); },
            help)
        ->type_name("N");
}

Expected<std::int64_t> parse_signed(const std::string& text, SignedRange range) {
    // The library knows no plus, and would take a minus behind one.
    const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
    std::int64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, status] = std::from_chars(text.data() + (plus ? 1 : 0), end, number);
    if (status == std::errc::invalid_argument || rest != end)
        return failure("'" + text + "' is not a whole number");
    if (status != std::errc() || number < range.least || number > range.most)
        return failure(text + " is not from " + std::to_string(range.least) + " to " +
                       std::to_string(range.most));
    return number;
}

CLI::Option* add_signed(CLI::App& app, const std::string& names, std::optional<std::int64_t>& target,
                        const std::string& help, SignedRange range) {
    return app
        .add_option_function<std::string>(
            names,
            [&target, names, range](const std::string& text) {
                const auto number = parse_signed(text, range);
                if (!number) throw CLI::ValidationError(names, number.error().message);
                target = *number;
            },
            help)
        ->type_name("N");
}

CLI::Option* add_pool(CLI::App& app, std::string& target) {
    return add_named_pool(app, target)->envname("SEMACTL_POOL");
}

CLI::Option* add_named_pool(CLI::App& app, std::string& target) {
    return app.add_option("POOL", target, "A pool's UUID, an alias, env:NAME or file:PATH")
        ->required()
        ->type_name("");
}

CLI::Option* add_lease(CLI::App& app, std::string& target) {
    return app.add_option("LEASE", target, "The lease's UUID, env:NAME or file:PATH")
        ->required()
        ->type_name("");
}

}  // namespace sema
