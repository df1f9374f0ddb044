#include "cli/arguments.hpp"

#include <CLI/Error.hpp>
#include <CLI/Option.hpp>

#include <utility>

namespace sema {
namespace {

// How many of the words from this option on belong to it; 0 where no such option is known.
std::size_t option_length(const CLI::App& app, const CLI::App* subcommand, const std::string& word) {
    const bool is_long = word.rfind("--", 0) == 0;
    const std::string name = is_long ? word.substr(0, word.find('=')) : word.substr(0, 2);
    const CLI::Option* option = subcommand != nullptr ? subcommand->get_option_no_throw(name) : nullptr;
    if (option == nullptr) option = app.get_option_no_throw(name);
    if (option == nullptr) return 0;
    const bool takes_value = option->get_expected_max() > 0;
    const bool value_attached = is_long ? word.size() > name.size() : word.size() > 2;
    return takes_value && !value_attached ? 2 : 1;
}

}  // namespace

CommandLine part_command_line(const CLI::App& app, const std::vector<std::string>& words) {
    const CLI::App* run = nullptr;
    bool pool_seen = false;
    std::size_t i = 0;
    while (i < words.size()) {
        const std::string& word = words[i];
        if (word == "--") break;
        if (word.size() > 1 && word.front() == '-') {
            const std::size_t length = option_length(app, run, word);
            // The parser has the better words for an option that doesn't exist.
            if (length == 0) return {words, {}};
            i += length;
        } else if (run == nullptr) {
            if (word != "run") return {words, {}};
            run = app.get_subcommand("run");
            ++i;
        } else if (!pool_seen) {
            pool_seen = true;
            ++i;
        } else {
            break;
        }
    }
    if (run == nullptr || i >= words.size()) return {words, {}};
    const auto own_end = words.begin() + static_cast<std::ptrdiff_t>(i);
    const auto command = *own_end == "--" ? own_end + 1 : own_end;
    return {{words.begin(), own_end}, {command, words.end()}};
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

CLI::Option* add_pool(CLI::App& app, std::string& target) {
    return app.add_option("POOL", target, "A pool's UUID, an alias, env:NAME or file:PATH")
        ->required()
        ->envname("SEMACTL_POOL")
        ->type_name("");
}

}  // namespace sema
