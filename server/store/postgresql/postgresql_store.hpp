#pragma once

#include "common/error.hpp"
#include "server/store/store.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sema {

/// Where a PostgreSQL is, and as which user to log in.
struct PostgresqlAddress {
    /// As libpq takes it:
    /// `postgresql://[USER[:PASSWORD]@][HOST[:PORT][,...]][/DATABASE][?PARAMETER=VALUE&...]`.
    std::string uri;
    bool has_password = false;

    bool operator==(const PostgresqlAddress&) const = default;
};

/// Whether it is meant for parse_postgresql_address(), mistakes in it aside.
bool is_postgresql_url(std::string_view text);

/// Reads a connection URI of libpq (PostgreSQL's documentation, "Connection URIs"): several hosts, `sslmode`,
/// `passfile`, `target_session_attrs` and all its other parameters are taken; what the URI leaves open, libpq
/// takes from its own environment variables (PGPASSWORD, PGSERVICE and so on). The error is one line that
/// says what to write instead; it never quotes what may be the password.
Expected<PostgresqlAddress> parse_postgresql_address(std::string_view url);

/// `postgresql://HOST[:PORT][,...]/DATABASE`: for logs.
std::string describe(const PostgresqlAddress& address);

struct PostgresqlStoreOptions {
    PostgresqlAddress address;
    /// How long an answer may take before the store counts as away.
    std::chrono::milliseconds answer_limit{700};
};

/// Opens the store in a database of a PostgreSQL (13 or later), which any number of servers may have open,
/// and tries to for 3 seconds. Makes the schema `sema` where there is none. Errors, each saying what to do:
/// it cannot be reached; it refuses the password; there is no such database; it is too old; its user lacks a
/// right; it holds data of another format.
///
/// What is `Committed` was committed by PostgreSQL in one transaction, and outlives what that setting of its
/// `synchronous_commit` lets it outlive: postgresql_store_warnings() says what is missing. Each change of a
/// batch is applied on its own, so that one that is stale keeps no other from being applied. A Stale contains
/// the pool. Anchors are not kept.
Expected<std::unique_ptr<SharedStore>> open_postgresql_store(const PostgresqlStoreOptions& options);

/// Whether that database surely has no schema `sema` yet: open_postgresql_store() would make it.
bool is_new_postgresql_store(const PostgresqlStoreOptions& options);

/// What in the settings of that PostgreSQL lets answers be lost that were given, or leases be granted twice
/// after it: a sentence each, that says what to set.
std::vector<std::string> postgresql_store_warnings(const PostgresqlStoreOptions& options);

}  // namespace sema
