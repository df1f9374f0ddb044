#include "cli/commands/commands.hpp"
#include "cli/end_by_signal.hpp"
#include "cli/exit_status.hpp"
#include "common/given_text.hpp"
#include "common/overloaded.hpp"
#include "common/version.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <sstream>
#include <system_error>

namespace sema {
namespace {

void setup_globals(CLI::App& app, GlobalOptions& globals) {
    add_optional_text(app, "--server", globals.server, "URL",
                      "The server's URL, or unix:/path ($SEMACTL_SERVER, or http://127.0.0.1:7717)");
    add_optional_text(app, "--config", globals.config, "FILE",
                      "The configuration file ($SEMACTL_CONFIG, or ~/.config/semactl/config.toml)");
    add_choice(
        app, "--output", {"text", "json"},
        [&globals](const std::string& form) {
            globals.output = form == "json" ? Output::json : Output::text;
        },
        "FORM", "How results are printed: text or json (text)");
    CLI::Option* quiet = app.add_flag_callback(
        "-q,--quiet", [&globals] { globals.verbosity = Verbosity::quiet; }, "Say nothing but errors");
    quiet->disable_flag_override();
    app.add_flag_callback(
           "-v,--verbose", [&globals] { globals.verbosity = Verbosity::verbose; }, "Say what is done")
        ->excludes(quiet)
        ->disable_flag_override();
    app.set_version_flag("--version", std::string("semactl ") + version, "Print the version and exit");
    app.set_help_flag("-h,--help", "Print this help and exit");
    app.footer(
        "POOL is a pool's UUID, an alias of the configuration file, env:NAME or file:PATH.\n"
        "T is a time: 90, 1.5, 30s, 5m, 1h30m or 1d.\n\n"
        "Example: a pool for four licences, and a build that uses one of them\n"
        "  semactl new --count 4 --save vsim\n"
        "  semactl run vsim --wait 30m -- make sim");
}

// Help or the version.
int print_what_was_asked(const CLI::App& app, const CLI::ParseError& request) {
    std::ostringstream text;
    app.exit(request, text, text);
    Console console(Verbosity::normal, Output::text);
    if (console.print(text.str())) return exit_status::done;
    console.error("cannot write to the standard output");
    return exit_status::failed;
}

/// A value that the user gave, and where.
struct Setting {
    std::string value;
    /// The option, the variable, or the place in the configuration file.
    std::string source;
};

// The value of an option, or else of a variable; nothing where neither is there. An empty one is a mistake:
// as a rule, a variable on the command line was not set.
Expected<std::optional<Setting>> setting(const std::optional<std::string>& option, const std::string& flag,
                                         const std::string& variable) {
    const auto value = option ? option : environment_value(variable);
    if (!value) return std::nullopt;
    if (value->empty())
        return failure(option ? flag + " is empty" : "the variable " + variable + " is empty");
    return Setting{*value, option ? flag : variable};
}

Expected<Config> default_config(Console& console) {
    auto config = load_config(default_config_path());
    if (config && !config->unreadable.empty()) console.note(config->unreadable + " (going on without it)");
    return config;
}

Expected<Config> named_config(const Setting& named, bool may_be_new) {
    const std::filesystem::path path = named.value;
    const auto refuse = [&](const std::string& why) {
        return failure(named.source == "SEMACTL_CONFIG" ? named.source + ": " + why : why);
    };
    // A named file that is not there is mistyped, or a new one.
    std::error_code unknown;
    const bool is_there =
        std::filesystem::status(path, unknown).type() != std::filesystem::file_type::not_found;
    if (!is_there && !may_be_new) return refuse("there is no configuration file " + path.string());
    auto config = load_config(path);
    if (config && !config->unreadable.empty()) return refuse(config->unreadable);
    return config;
}

Expected<ServerAddress> server_address(const GlobalOptions& globals, const Config& config) {
    const auto said = setting(globals.server, "--server", "SEMACTL_SERVER");
    if (!said) return tl::unexpected(said.error());
    Setting server{default_server, "the default"};
    if (config.server) server = {*config.server, config.server_place};
    if (*said) server = **said;
    return parse_server_address(server.value).map_error([&](const Error& error) {
        return Error{server.source + ": " + error.message};
    });
}

// The configuration and the server's address, or why they are not to be had.
int with_session(const std::function<int(Session&)>& command, const GlobalOptions& globals, Console& console,
                 const InheritedDescriptors& inherited, int usage_status) {
    const auto refuse = [&](const Error& why) {
        console.error(why.message);
        return usage_status;
    };
    const auto named = setting(globals.config, "--config", "SEMACTL_CONFIG");
    if (!named) return refuse(named.error());
    const auto config = *named ? named_config(**named, globals.creates_config) : default_config(console);
    if (!config) return refuse(config.error());
    if (config->exposed)
        console.note(config->path.string() + " holds secrets and others can read it (chmod 600 it)");
    const auto server = server_address(globals, *config);
    if (!server) return refuse(server.error());
    Client client(*server);
    Session session{console, *config, client, inherited};
    return command(session);
}

int main_with(const std::vector<std::string>& words, const InheritedDescriptors& inherited) {
    CLI::App app("Borrow slots of a semaphore service, and run commands that hold one.", "semactl");
    GlobalOptions globals;
    Invocation chosen;
    std::vector<std::string> command;
    set_help_style(app);
    // The options for all may stand behind a subcommand too. Subcommands take this over when they are added.
    app.fallthrough();
    setup_globals(app, globals);
    setup_run(app, chosen, command);
    setup_borrow(app, chosen);
    setup_return(app, chosen);
    setup_keepalive(app, chosen);
    setup_register(app, chosen);
    setup_inspect(app, chosen);
    setup_resize(app, chosen);
    setup_holders(app, chosen);
    setup_watch(app, chosen);
    setup_revoke(app, chosen);
    setup_delete(app, chosen);
    setup_new(app, chosen);
    setup_ping(app, chosen);
    setup_pools(app, chosen);
    setup_completion(app, chosen);
    // None is required here: the parser would then not name a word that is no subcommand.
    app.require_subcommand(0, 1);

    CommandLine line = part_command_line(app, words);
    command = std::move(line.command);
    // The parser takes the words from the back.
    std::vector<std::string> own(line.own.rbegin(), line.own.rend());
    const auto usage_status = [&app] {
        return app.get_subcommand("run")->parsed() ? exit_status::failed : exit_status::usage;
    };
    const auto refuse = [&](const std::string& why) {
        Console(Verbosity::normal, Output::text).error(why);
        return usage_status();
    };
    try {
        app.parse(own);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success))
            return print_what_was_asked(app, error);
        return refuse(describe_misuse(app, error, line.own));
    }
    if (app.get_subcommands().empty()) return refuse("a command is required (semactl --help lists them)");

    globals.creates_config = app.get_subcommand("new")->parsed();
    Console console(globals.verbosity, globals.output);
    return std::visit(Overloaded{[&](const std::function<int(Session&)>& with_server) {
                                     return with_session(with_server, globals, console, inherited,
                                                         usage_status());
                                 },
                                 [&](const std::function<int(Console&)>& alone) { return alone(console); }},
                      chosen);
}

}  // namespace
}  // namespace sema

int main(int argc, char** argv) {
    try {
        const sema::InheritedDescriptors inherited;
        const int status = sema::main_with({argv + 1, argv + argc}, inherited);
        if (const auto signal = sema::exit_status::signal_of(status)) sema::end_by_signal(*signal);
        return sema::exit_status::in_shell(status);
    } catch (const std::bad_alloc&) {
        // Through C, which needs no memory for it.
        std::fputs("semactl: out of memory\n", stderr);
    } catch (const std::exception& error) {
        sema::Console(sema::Verbosity::normal, sema::Output::text).error(error.what());
    }
    return sema::exit_status::failed;
}
