#pragma once

#include "server/store/postgresql/postgresql_engine.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/store_changes.hpp"

#include <chrono>
#include <string>

namespace sema::test {

inline PostgresqlStoreOptions options_for(const std::string& url, std::chrono::milliseconds answer_limit) {
    return {parse_postgresql_address(url).value(), answer_limit};
}

inline void connect(postgresql::PostgresqlEngine& engine) {
    REQUIRE(eventually([&] { return engine.connect() && engine.open(); }));
}

inline void open(postgresql::Connection& connection, const std::string& url) {
    const PostgresqlAddress address = parse_postgresql_address(url).value();
    REQUIRE(eventually([&] { return connection.open(address, std::chrono::seconds(5)).has_value(); }));
}

inline Duration timeline(postgresql::PostgresqlEngine& engine) {
    const auto pulse = engine.beat({});
    REQUIRE(pulse);
    return pulse->clock.wall + pulse->clock.offset;
}

/// A pool of that id, which is made.
inline void make(postgresql::PostgresqlEngine& engine, const PoolId& pool) {
    const auto made = engine.commit({change(pool).to(1).count(4)}, TimePoint(timeline(engine)), {});
    REQUIRE(made);
    REQUIRE(committed(*made));
}

}  // namespace sema::test
