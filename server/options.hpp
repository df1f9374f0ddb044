#pragma once

#include "server/http/listen_address.hpp"
#include "server/service.hpp"

#include <string>
#include <variant>
#include <vector>

namespace sema {

enum class LogFormat { text, json };

struct SqliteStoreOption {
    std::string path;
};
struct MemoryStoreOption {};
using StoreOption = std::variant<SqliteStoreOption, MemoryStoreOption>;

/// What `semad` was told to do.
struct Options {
    std::vector<http::ListenAddress> listen;
    StoreOption store;
    /// The path; empty where there is no administrator.
    std::string admin_token_file;
    ServiceLimits limits;
    /// 0: as many as there are descriptors for.
    std::size_t max_connections = 0;
    /// 0: one per processor.
    unsigned threads = 0;
    LogFormat log_format = LogFormat::text;
    std::string log_level = "info";
};

/// Text to print on stdout, after which there is nothing left to do (--help, --version).
struct Printed {
    std::string text;
};

/// Reads the command line. The error is one line that says what is wrong with it.
Expected<std::variant<Options, Printed>> parse_options(int argc, const char* const* argv);

/// As written after --store.
std::string describe(const StoreOption& store);

}  // namespace sema
