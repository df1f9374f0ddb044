#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "common/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

struct RegisterOptions {
    std::string pool;
    std::optional<unsigned> count;
    std::vector<std::string> slots;
    /// Without the payloads, which `slots` holds as they were given.
    SettingsChange settings;
};

// An account or a licence may well be secret: no message quotes a payload.
Expected<Payload> payload_from(const std::string& text) {
    if (text.empty() || text.front() != '{') return wire::payload_of(text);
    return wire::parse_payload(text).map_error([](const Error&) {
        return Error{"--slot: what begins with { must be a JSON object, and one of them is not"};
    });
}

std::string times(std::size_t number) {
    return number == 1 ? "once" : std::to_string(number) + " times";
}

Expected<wire::RegisterRequest> request_of(const RegisterOptions& options, unsigned count) {
    wire::RegisterRequest request{.count = count, .settings = options.settings};
    const std::size_t given = options.slots.size();
    if (given > 0 && given != count)
        return failure("--slot: it must be given for each of the " + std::to_string(count) +
                       " slots, and is given " + times(given));
    if (given > 0) request.settings.payloads.emplace();
    for (const std::string& text : options.slots) {
        auto payload = payload_from(text);
        if (!payload) return tl::unexpected(payload.error());
        request.settings.payloads->push_back(std::move(*payload));
    }
    return request;
}

int put(const RegisterOptions& options, Session& session, const PoolRef& pool, unsigned count) {
    const auto request = request_of(options, count);
    if (!request) {
        session.console.error(request.error().message);
        return exit_status::usage;
    }
    return std::visit(Overloaded{[&](const wire::PoolState& state) {
                                     const int status =
                                         print_result(session, render(state, session.console.output()));
                                     note_if_empty(session, pool, state);
                                     return status;
                                 },
                                 [&](const auto& trouble) { return explain(session, pool, trouble); }},
                      session.client.register_pool(pool.id, *request));
}

int run_register(const RegisterOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    if (options.count) return put(options, session, *pool, *options.count);
    const auto given = static_cast<unsigned>(options.slots.size());
    if (given == 0 && !is_any(options.settings)) {
        session.console.error(
            "register needs --count, or a --slot for each slot; of a pool that is there, what is to change");
        return exit_status::usage;
    }
    // A PUT names the count with every change.
    return std::visit(Overloaded{[&](const wire::PoolState& state) {
                                     if (given == 0 || given == state.count)
                                         return put(options, session, *pool, state.count);
                                     session.console.error(
                                         pool->name + ": the pool has " + std::to_string(state.count) +
                                         (state.count == 1 ? " slot" : " slots") + ", and --slot is given " +
                                         times(given) + " (give it for each of them, or --count " +
                                         std::to_string(given) + " too if the pool is to have as many)");
                                     return exit_status::usage;
                                 },
                                 [&](const NoSuchPool& absent) {
                                     return given > 0 ? put(options, session, *pool, given)
                                                      : explain(session, *pool, absent);
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.inspect(pool->id));
}

}  // namespace

void setup_register(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<RegisterOptions>();
    CLI::App& command = add_command(
        app, "register", "Make a pool, or change one",
        "Leases that are held stay valid, however small the count becomes. What no option names stays as it "
        "was.\n\n"
        "Example: a pool for four licences, and one for two boards\n"
        "  semactl register vsim --count 4\n"
        "  semactl new --count 2 --save boards\n"
        "  semactl register boards --slot /dev/ttyUSB0 --slot /dev/ttyUSB1 --cooldown 5s\n\n"
        "Example: change the cooldown alone\n"
        "  semactl register boards --cooldown 10s");
    add_pool(command, options->pool);
    add_optional_number(
        command, "--count", options->count,
        "How many slots the pool has (what it has; of a new one, as many as there are --slot)",
        {0, wire::largest_count});
    add_texts(command, "--slot", options->slots, "PAYLOAD",
              "What the next slot's borrower is given, as the path of a device: a text, or a JSON object "
              "if it begins with {. Once for each slot, or not at all");
    add_duration(command, "--cooldown", options->settings.cooldown,
                 "How long a slot rests before it is lent again");
    add_optional_text(command, "--name", options->settings.name, "S", "What the pool is called, for people");
    add_choice(
        command, "--renewable", {"yes", "no"},
        [options](const std::string& word) { options->settings.renewable = word == "yes"; }, "WORD",
        "Whether its leases may be kept alive: yes or no");
    add_choice(
        command, "--pick", {words_of<Pick>.begin(), words_of<Pick>.end()},
        [options](const std::string& word) { options->settings.pick = parse_word<Pick>(word); }, "WORD",
        "Which free slot is lent, the first one or the one idle longest: " + choice_of<Pick>());
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_register(*options, session); };
    });
}

}  // namespace sema
