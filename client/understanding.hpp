#pragma once

#include "client/client.hpp"
#include "client/round.hpp"
#include "client/semad_errors.hpp"
#include "client/servers.hpp"
#include "client/transfer.hpp"
#include "common/overloaded.hpp"

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

/// What the calls make of the answers that come.
namespace sema {

/// Whether a request may be made again where it may have been done.
enum class Repeat { safe, unsafe };

/// A list of pools, holders, waiters or past leases has some hundred bytes for each, and some thousand where
/// their texts are long. There may be some hundred thousand.
inline constexpr std::size_t longest_list = std::size_t{256} << 20;
/// A lease lists its slots' payloads.
inline constexpr std::size_t longest_lease = std::size_t{16} << 20;

inline std::string pool_path(const PoolId& pool, const char* call = "") {
    return "/l/" + pool.str() + call;
}

/// The server's own reason, where the body is an error of a semad's.
inline std::optional<std::string> error_reason(const HttpAnswer& answer) {
    auto error = wire::parse_error_body(answer.body);
    if (!error) return std::nullopt;
    return std::move(error->error);
}

/// The trouble that a semad itself reports.
inline Busy busy(const HttpAnswer& answer, const std::string& reason, const std::string& status) {
    if (answer.status != 503) return {"in trouble: " + reason + status, answer.retry_after, true};
    const bool stops = reason == "shutting down";
    return {(stops ? reason : "overloaded: " + reason) + status, answer.retry_after};
}

/// The proxy that may have answered in the server's place.
inline std::string by_way_of(const HttpAnswer& answer) {
    return answer.proxy.empty() ? "" : ", through " + answer.proxy;
}

/// What every call makes of an answer that isn't the one it hopes for.
template <class Result>
Result unexpected(const HttpAnswer& answer) {
    const auto reason = error_reason(answer);
    const bool is_semads = reason && is_semads_error(answer.status, *reason);
    const std::string code = "status " + std::to_string(answer.status) + (is_semads ? "" : by_way_of(answer));
    const std::string status = " (" + code + ")";
    // What web servers say to a connection that lacks TLS, or a certificate.
    const bool is_handshake = !is_semads && !answer.advice.empty();
    const bool is_refusal = answer.status < 500 || answer.status == 501 || answer.status == 505;
    if (answer.status == 429) return Busy{"overloaded" + status, answer.retry_after};
    if (reason && is_refusal)
        return Rejected{"refused: " + *reason + status, !is_semads, is_handshake, /*may_be_done=*/false};
    if (is_semads) return busy(answer, *reason, status);
    if (answer.status >= 500) return Unreachable{code, answer.retry_after};
    const std::string advice = answer.advice.empty() ? "" : " (" + answer.advice + ")";
    return Rejected{"gave an answer that no semad gives" + status + advice, true, is_handshake,
                    /*may_be_done=*/answer.status < 300};
}

template <class Result, class Parse>
Result parsed(const HttpAnswer& answer, Parse parse) {
    auto value = parse(answer.body);
    if (!value)
        return Rejected{"gave an answer that no semad gives: " + value.error().message + by_way_of(answer),
                        true};
    return std::move(*value);
}

/// A 404 of a proxy, of another web server, or of a semad that knows no such path, is no news of the pool.
inline bool says_no_such_pool(const HttpAnswer& answer) {
    return answer.status == 404 && error_reason(answer) == "no such pool";
}

/// Only in a semad's own words: something before it may want credentials too.
inline std::optional<NotAdmin> not_admin(const HttpAnswer& answer) {
    const auto reason = answer.status == 200 ? std::nullopt : error_reason(answer);
    const bool is_semads = reason && is_semads_error(answer.status, *reason);
    if (answer.status == 401 && is_semads) return NotAdmin::no_token_came;
    if (answer.status == 403 && is_semads) return NotAdmin::wrong_token;
    if (answer.status == 404 && reason == "no such path") return NotAdmin::no_administrator;
    return std::nullopt;
}

/// The answer hoped for, or what `unexpected` makes of another one.
template <class Result, class Parse>
Result understood(const HttpAnswer& answer, Parse parse) {
    return answer.status == 200 ? parsed<Result>(answer, parse) : unexpected<Result>(answer);
}

/// The same for calls that need the pool to be there.
template <class Result, class Parse>
Result understood_of_pool(const HttpAnswer& answer, Parse parse) {
    if (says_no_such_pool(answer)) return NoSuchPool{};
    return understood<Result>(answer, parse);
}

/// Why the server is of no use for the call, where it is not. Another one may be.
template <class Result>
std::optional<Away> away_of(const Result& result) {
    if (const auto* busy = std::get_if<Busy>(&result)) return *busy;
    if (const auto* unreachable = std::get_if<Unreachable>(&result)) return *unreachable;
    const auto* rejected = std::get_if<Rejected>(&result);
    return rejected != nullptr && rejected->is_foreign ? std::optional<Away>(*rejected) : std::nullopt;
}

/// Whether the server has the pool.
template <class Result>
bool shows_pool(const Result& result) {
    return std::visit(
        [](const auto& answer) {
            using T = std::decay_t<decltype(answer)>;
            if constexpr (std::is_same_v<T, wire::Renewed>) return answer.lease.has_value();
            return std::is_same_v<T, Grant> || std::is_same_v<T, NoSlot> || std::is_same_v<T, NotRenewable> ||
                   std::is_same_v<T, wire::PoolState> || std::is_same_v<T, wire::PoolDetails> ||
                   std::is_same_v<T, wire::SlotState> || std::is_same_v<T, wire::BorrowQueued> ||
                   std::is_same_v<T, wire::CallbackList>;
        },
        result);
}

inline Unreachable stranger() {
    return {.reason = "it knows no such pool (do the servers share a store?)", .may_be_done = false};
}

/// Makes a call's result of an exchange; `understand` gets every complete HTTP answer.
template <class Result, class Understand>
Result resolved(Servers& servers, Exchange exchange, Understand understand) {
    Result result =
        std::visit(Overloaded{[&](HttpAnswer& answer) -> Result { return understand(answer); },
                              [](Left&) -> Result {
                                  if constexpr (std::is_constructible_v<Result, Left>) return Left{};
                                  throw std::logic_error("only a call with a control can be left");
                              },
                              [](Unreachable& why) -> Result { return std::move(why); },
                              [](Rejected& why) -> Result { return std::move(why); }},
                   exchange);
    const bool is_answer = std::holds_alternative<HttpAnswer>(exchange);
    const auto* rejected = std::get_if<Rejected>(&result);
    const bool is_foreign = rejected != nullptr && rejected->is_foreign;
    const bool is_handshake = rejected != nullptr && rejected->is_handshake;
    servers.was_answered = servers.was_answered || (is_answer && !is_handshake);
    const bool passes = is_foreign && (is_handshake ? servers.was_answered : servers.semad_was_heard);
    if (passes) return Unreachable{.reason = "it " + rejected->reason, .may_be_done = rejected->may_be_done};
    if (is_answer && !is_foreign && !std::holds_alternative<Unreachable>(result))
        servers.semad_was_heard = true;
    return result;
}

/// Whether another server is to be asked, after the round's own gave this result. What is made of it
/// otherwise is the call's.
template <class Result>
bool goes_on(Servers& servers, Result& result, Round& round, Repeat repeat) {
    if (!servers.has_several()) return false;
    const std::size_t server = round.server();
    if constexpr (std::is_constructible_v<Result, NoSuchPool>) {
        if (std::holds_alternative<NoSuchPool>(result) && servers.home && *servers.home != server)
            result = stranger();
    }
    servers.passed_over = round.troubles();
    auto away = away_of(result);
    if (!away) {
        if (shows_pool(result)) servers.home = server;
        return false;
    }
    round.fail(*std::move(away));
    if (round.has_next() && (repeat == Repeat::safe || !round.may_be_done())) {
        servers.current = round.server();
        return true;
    }
    auto [last, why] = round.end();
    servers.current = last;
    std::visit([&](auto& trouble) { result = std::move(trouble); }, why);
    return false;
}

}  // namespace sema
