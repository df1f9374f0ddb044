#pragma once

#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/receiver.hpp"

#include <string>
#include <vector>

namespace sema::test {

/// Calls receivers on this machine, if they are named by its address.
inline const std::vector<std::string> allowing = {"--threads", "1", "--callback-allow", "127.0.0.1"};

/// A borrow that is to be called there.
inline Json callback_to(const std::string& url) {
    return Json{{"ttl", 600}, {"callback", {{"url", url}}}};
}

/// The answer to a borrow that takes a place.
inline Json queued(const TestPool& pool, const Json& fields) {
    const HttpResponse response = pool.borrow(fields.dump());
    CAPTURE(response.body);
    REQUIRE(response.status == 202);
    return Json::parse(response.body);
}

/// What the list of callbacks shows.
inline Json callbacks(const RunningServer& server, const TestPool& pool) {
    const HttpResponse response = call(server.port(), "GET", pool.path() + "/callbacks");
    REQUIRE(response.status == 200);
    return Json::parse(response.body).at("callbacks");
}

/// The lease that a borrower was told of.
inline Slot slot_of(const Receiver::Request& request) {
    const Json body = Json::parse(request.body);
    return {body.at("lease"), body.at("position"), body.at("expires_at_unix"), body.at("expires_in")};
}

/// Whether nobody is to be called any more, and so the last call was taken note of.
inline bool has_settled(const RunningServer& server, const TestPool& pool) {
    return eventually([&] { return callbacks(server, pool).empty(); });
}

}  // namespace sema::test
