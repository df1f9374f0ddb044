#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

struct RegisterOptions {
    std::string pool;
    std::optional<unsigned> count;
    std::vector<std::string> slots;
    std::optional<Duration> cooldown;
    std::optional<std::string> name;
    std::optional<bool> renewable;
};

// An account or a licence may well be secret: the messages tell of a payload without it.
Expected<wire::Payload> payload_from(const std::string& text) {
    if (text.empty() || text.front() != '{') return wire::payload_of(text);
    return wire::parse_payload(text).map_error([](const Error&) {
        return Error{"--slot: what begins with { must be a JSON object, and one of them is not"};
    });
}

Expected<wire::RegisterRequest> request_of(const RegisterOptions& options) {
    const auto given = static_cast<unsigned>(options.slots.size());
    if (!options.count && given == 0) return failure("register needs --count, or a --slot for each slot");
    wire::RegisterRequest request{options.count.value_or(given)};
    if (given > 0 && given != request.count)
        return failure("--slot: it must be given for each of the " + std::to_string(request.count) +
                       " slots, and is given " + std::to_string(given) + " times");
    if (given > 0) request.slots.emplace();
    for (const std::string& text : options.slots) {
        auto payload = payload_from(text);
        if (!payload) return tl::unexpected(payload.error());
        request.slots->push_back(std::move(*payload));
    }
    request.cooldown = options.cooldown;
    request.name = options.name;
    request.renewable = options.renewable;
    return request;
}

int run_register(const RegisterOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    const auto request = request_of(options);
    if (!request) {
        session.console.error(request.error().message);
        return exit_status::usage;
    }
    return std::visit(Overloaded{[&](const wire::PoolState& state) {
                                     return print_result(session, render(state, session.console.output()));
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.register_pool(pool->id, *request));
}

}  // namespace

void setup_register(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<RegisterOptions>();
    CLI::App& command = add_command(
        app, "register", "Make a pool, or change how many slots it has",
        "Leases that are held stay valid, however small the count becomes. What no option names stays as it "
        "was.\n\n"
        "Example: a pool for four licences, and one for two boards\n"
        "  semactl register vsim --count 4\n"
        "  semactl register boards --slot /dev/ttyUSB0 --slot /dev/ttyUSB1 --cooldown 5s");
    add_pool(command, options->pool);
    add_optional_number(command, "--count", options->count,
                        "How many slots the pool has (as many as there are --slot)");
    add_texts(command, "--slot", options->slots, "PAYLOAD",
              "What the next slot's borrower is told, as the path of a device: a text, or a JSON object "
              "if it begins with {. Once for each slot, or not at all");
    add_duration(command, "--cooldown", options->cooldown, "How long a slot rests before it is lent again");
    add_optional_text(command, "--name", options->name, "S", "What the pool is called, for people");
    add_choice(
        command, "--renewable", {"yes", "no"},
        [options](const std::string& word) { options->renewable = word == "yes"; }, "WORD",
        "Whether its leases may be kept alive: yes or no");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_register(*options, session); };
    });
}

}  // namespace sema
