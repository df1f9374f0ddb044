#include "cli/bounded_write.hpp"
#include "cli/commands/commands.hpp"
#include "cli/end_by_signal.hpp"
#include "cli/exit_status.hpp"
#include "common/given_text.hpp"
#include "common/overloaded.hpp"
#include "common/version.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
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
    add_optional_text(
        app, "--server", globals.server, "URL",
        "The server's URL, or unix:/path; several with commas between, of which the next one is "
        "tried where one is away ($SEMACTL_SERVER, or http://127.0.0.1:7717)");
    add_optional_text(app, "--cacert", globals.cacert, "FILE",
                      "For https: the authorities to trust, instead of the system's ($SEMACTL_CACERT)");
    add_optional_text(app, "--cert", globals.cert, "FILE",
                      "For https: the certificate to show to a server that asks for one ($SEMACTL_CERT)");
    add_optional_text(app, "--key", globals.key, "FILE",
                      "For https: the certificate's key, where it is in a file of its own ($SEMACTL_KEY)");
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
    return print_result(console, text.str());
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

Expected<Config> default_config(Console& console, Verbosity verbosity) {
    auto config = load_config(default_config_path());
    if (config && !config->unreadable.empty()) {
        console.note(config->unreadable + " (going on without it)");
        config->is_unreadable_said = verbosity != Verbosity::quiet;
    }
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

// The same, or else the configuration file's.
Expected<std::optional<Setting>> setting(const std::optional<std::string>& option, const std::string& flag,
                                         const std::string& variable, const Config& config,
                                         const std::optional<std::string>& in_file) {
    auto said = setting(option, flag, variable);
    if (!said || *said || !in_file) return said;
    return Setting{*in_file, config.places.find(std::string_view(flag).substr(2))->second};
}

// What is wrong, by its place.
tl::unexpected<Error> refuse(const Setting& setting, const std::string& why) {
    return failure(setting.source + ": " + why);
}

// The path of a file that can be read; empty where none is named.
Expected<std::string> readable(const Expected<std::optional<Setting>>& named) {
    if (!named) return tl::unexpected(named.error());
    if (!*named) return std::string();
    const std::string& path = (*named)->value;
    std::error_code unknown;
    const int error = std::filesystem::is_directory(path, unknown) ? EISDIR
                      : access(path.c_str(), R_OK) != 0            ? errno
                                                                   : 0;
    if (error == 0) return path;
    return refuse(**named, "cannot read " + path + ": " + std::generic_category().message(error));
}

// Whether a certificate's file lacks the key that may stand in it. Not known of a pipe, which can be read
// once only.
bool lacks_key(const std::string& path) {
    std::error_code unknown;
    if (!std::filesystem::is_regular_file(path, unknown)) return false;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line.find("PRIVATE KEY-----") != std::string::npos) return false;
    }
    return true;
}

Expected<TlsFiles> tls_files(const GlobalOptions& globals, const Config& config) {
    const auto cacert =
        readable(setting(globals.cacert, "--cacert", "SEMACTL_CACERT", config, config.cacert));
    if (!cacert) return tl::unexpected(cacert.error());
    const auto named_cert = setting(globals.cert, "--cert", "SEMACTL_CERT", config, config.cert);
    const auto cert = readable(named_cert);
    if (!cert) return tl::unexpected(cert.error());
    const auto named_key = setting(globals.key, "--key", "SEMACTL_KEY", config, config.key);
    const auto key = readable(named_key);
    if (!key) return tl::unexpected(key.error());
    if (!key->empty() && cert->empty()) return refuse(**named_key, "a key needs its certificate (--cert)");
    if (key->empty() && !cert->empty() && lacks_key(*cert))
        return refuse(**named_cert, "there is no key in " + *cert + " (--key names the file that has it)");
    return TlsFiles{*cacert, *cert, *key};
}

Expected<std::vector<ServerAddress>> server_addresses(const GlobalOptions& globals, const Config& config) {
    const auto said = setting(globals.server, "--server", "SEMACTL_SERVER", config, config.server);
    if (!said) return tl::unexpected(said.error());
    const Setting server = said->value_or(Setting{default_server, "the default"});
    auto servers = parse_server_addresses(server.value);
    if (!servers) return refuse(server, servers.error().message);
    const auto tls = tls_files(globals, config);
    if (!tls) return tl::unexpected(tls.error());
    for (ServerAddress& address : *servers)
        address.tls = *tls;
    return servers;
}

// The exit status, or what is wrong with the configuration and the servers' addresses.
Expected<int> with_session(const std::function<int(Session&)>& command, const GlobalOptions& globals,
                           Console& console, const InheritedDescriptors& inherited, pid_t parent) {
    const auto named = setting(globals.config, "--config", "SEMACTL_CONFIG");
    if (!named) return tl::unexpected(named.error());
    const auto config =
        *named ? named_config(**named, globals.creates_config) : default_config(console, globals.verbosity);
    if (!config) return tl::unexpected(config.error());
    if (config->exposed)
        console.note(config->path.string() + " holds secrets and others can read it (chmod 600 it)");
    const auto servers = server_addresses(globals, *config);
    if (!servers) return tl::unexpected(servers.error());
    Client client(*servers);
    Session session{console, *config, client, inherited, parent};
    return command(session);
}

// Whether a shell is to evaluate what stands on stdout, as far as the words could be read. One that begins
// like the flag, and as no other option, is meant for it.
bool is_for_shell(const CLI::App& app, const std::vector<std::string>& words) {
    return app.get_subcommand("borrow")->parsed() &&
           std::any_of(words.begin(), words.end(),
                       [](const std::string& word) { return word.rfind("--sh", 0) == 0; });
}

// Has a shell that evaluates stdout fail. Not for ever where nobody reads: after an error in the midst of the
// command, signals may be blocked.
void print_failure_line(int status) {
    constexpr std::chrono::seconds patience(5);
    static_cast<void>(write_within(STDOUT_FILENO, failure_line(status), patience));
}

// `prints_failures` is set where a shell is to evaluate what stands on stdout.
int main_with(const std::vector<std::string>& words, const InheritedDescriptors& inherited, pid_t parent,
              bool& prints_failures) {
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
    setup_history(app, chosen);
    setup_stats(app, chosen);
    setup_callbacks(app, chosen);
    setup_watch(app, chosen);
    setup_revoke(app, chosen);
    setup_slot(app, chosen);
    setup_delete(app, chosen);
    setup_new(app, chosen);
    setup_ping(app, chosen);
    setup_pools(app, chosen);
    setup_backup(app, chosen);
    setup_dispatch(app, chosen, command);
    setup_completion(app, chosen);
    setup_help(app);
    // None is required here: the parser would then not name a word that is no subcommand.
    app.require_subcommand(0, 1);

    CommandLine line = part_command_line(app, with_help_as_flag(app, words));
    command = std::move(line.command);
    // The parser takes the words from the back.
    std::vector<std::string> own(line.own.rbegin(), line.own.rend());
    const auto usage_status = [&app] {
        return app.get_subcommand("run")->parsed() ? exit_status::failed : exit_status::usage;
    };
    const auto refuse = [&](const std::string& why) {
        Console(Verbosity::normal, Output::text).error(why);
        if (prints_failures) print_failure_line(usage_status());
        return usage_status();
    };
    try {
        app.parse(own);
        prints_failures = is_for_shell(app, line.own);
    } catch (const CLI::ParseError& error) {
        prints_failures = is_for_shell(app, line.own);
        // The help of a command that there is not would be that of all.
        const auto unread = app.get_subcommands().empty() ? app.remaining() : std::vector<std::string>();
        if (!unread.empty())
            return refuse(describe_misuse(app, CLI::ExtrasError(app.get_name(), unread), line.own));
        if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success))
            return print_what_was_asked(app, error);
        return refuse(describe_misuse(app, error, line.own));
    }
    if (app.get_subcommands().empty()) return refuse("a command is required (semactl --help lists them)");

    globals.creates_config = app.get_subcommand("new")->parsed();
    Console console(globals.verbosity, globals.output);
    return std::visit(Overloaded{[&](const std::function<int(Session&)>& with_server) {
                                     const auto status =
                                         with_session(with_server, globals, console, inherited, parent);
                                     return status ? *status : refuse(status.error().message);
                                 },
                                 [&](const std::function<int(Console&)>& alone) { return alone(console); }},
                      chosen);
}

}  // namespace
}  // namespace sema

int main(int argc, char** argv) {
    const pid_t parent = getppid();
    bool prints_failures = false;
    try {
        const sema::InheritedDescriptors inherited;
        const int status = sema::main_with({argv + 1, argv + argc}, inherited, parent, prints_failures);
        if (const auto signal = sema::exit_status::signal_of(status)) sema::end_by_signal(*signal);
        return sema::exit_status::in_shell(status);
    } catch (const std::bad_alloc&) {
        // Through C, which needs no memory for it.
        std::fputs("semactl: out of memory\n", stderr);
    } catch (const std::exception& error) {
        sema::Console(sema::Verbosity::normal, sema::Output::text).error(error.what());
    }
    if (prints_failures) sema::print_failure_line(sema::exit_status::failed);
    return sema::exit_status::failed;
}
