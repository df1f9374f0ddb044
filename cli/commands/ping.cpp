#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "common/overloaded.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>

namespace sema {
namespace {

std::string render(const std::string& server, const std::string& version, Duration round_trip,
                   Output output) {
    const double ms = std::chrono::duration<double, std::milli>(round_trip).count();
    if (output == Output::json) {
        return json_line(
            nlohmann::ordered_json{{"server", server}, {"version", version}, {"round_trip_ms", ms}}.dump());
    }
    char time[32];
    std::snprintf(time, sizeof time, "%.1f ms", ms);
    return "semad " + version + " at " + server + ": " + time + "\n";
}

int run_ping(Session& session) {
    const Moment asked = BootClock::now();
    const auto answer = session.client.version();
    const Duration round_trip = BootClock::now() - asked;
    const std::string& server = session.client.server().name;
    return std::visit(Overloaded{[&](const wire::ServerVersion& version) {
                                     return print_result(session, render(server, version.version, round_trip,
                                                                         session.console.output()));
                                 },
                                 [&](const auto& trouble) { return explain(session, trouble); }},
                      answer);
}

}  // namespace

void setup_ping(CLI::App& app, Invocation& chosen) {
    CLI::App& command = add_command(app, "ping", "Check that the server answers",
                                    "Prints the server's version and how long its answer took.\n\n"
                                    "Example:\n"
                                    "  semactl --server http://build-server:7717 ping");
    on_chosen(command, [&chosen] { chosen = [](Session& session) { return run_ping(session); }; });
}

}  // namespace sema
