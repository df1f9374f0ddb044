#include "tests/e2e/ha_pair.hpp"

#include <cstdlib>
#include <utility>

namespace sema::test {

RedisOptions store_options() {
    const char* wanted = std::getenv("SEMA_TEST_STORE");
    RedisOptions options;
    if (wanted != nullptr && *wanted != '\0') options.engine = wanted;
    return options;
}

std::vector<std::string> with_store(const std::string& url, std::vector<std::string> options) {
    options.insert(options.end(), {"--store", url});
    return options;
}

std::unique_ptr<StoreServer> make_store() {
    const char* const wanted = std::getenv("SEMA_TEST_STORE");
    if (wanted != nullptr && std::string(wanted) == "postgresql") return std::make_unique<PostgresqlServer>();
    return std::make_unique<RedisServer>(store_options());
}

Pair::Pair(std::vector<std::string> options, std::unique_ptr<StoreServer> made)
    : store(std::move(made)),
      one(with_store(store->url(), options)),
      other(with_store(store->url(), options)) {}

int status_of(const RunningServer& server, const std::string& path) {
    return call(server.port(), "GET", path).status;
}

bool is_ready(const RunningServer& server) {
    return status_of(server, "/readyz") == 200;
}

bool shows_waiting(const TestPool& pool, std::size_t count) {
    return eventually([&] { return pool.waiting() == count; });
}

std::vector<std::string> names_in_queue(const TestPool& pool) {
    const HttpResponse shown = pool.holders();
    // A store that is just back, on a machine that does much else.
    if (shown.status == 502) return {"(the store is slow)"};
    const Json view = Json::parse(shown.body);
    std::vector<std::string> names;
    for (const Json& waiter : view.at("queue"))
        names.push_back(waiter.at("holder").at("name"));
    return names;
}

Json named(const std::string& name, Json more) {
    more["holder"] = {{"name", name}};
    return more;
}

RawClient queue_up_and_be_seen(const TestPool& pool, const TestPool& from_there, const Json& fields) {
    const std::size_t before = from_there.waiting();
    RawClient waiter = pool.queue_up_with(fields);
    REQUIRE(shows_waiting(from_there, before + 1));
    return waiter;
}

}  // namespace sema::test
