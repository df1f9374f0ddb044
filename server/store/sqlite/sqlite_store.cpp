#include "server/store/sqlite/sqlite_store.hpp"

#include "server/store/sqlite/copy.hpp"
#include "server/store/sqlite/database_store.hpp"
#include "server/store/sqlite/network_file_system.hpp"
#include "server/store/sqlite/opening.hpp"

#include <sqlite3.h>

#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

namespace sema {
namespace {

namespace fs = std::filesystem;
using sqlite::Database;

constexpr std::int64_t first_format_with_seed = 3;

tl::unexpected<Error> refusal(const fs::path& path, const std::string& reason) {
    return failure("cannot use " + path.string() + " as a store: " + reason);
}

}  // namespace

Expected<SqliteOutlook> check_sqlite_store(const fs::path& path, MissingFolder missing) {
    if (path.empty()) return failure("a store needs the path of a file");
    try {
        const fs::path absolute = fs::absolute(path);
        if (fs::status(absolute).type() == fs::file_type::not_found) {
            if (const auto objection = sqlite::objection_to_folder(absolute, missing))
                return refusal(path, objection->message);
            return SqliteOutlook{.is_missing = true};
        }
        auto opened = sqlite::open_unchanged(absolute);
        if (!opened) return refusal(path, opened.error().message);
        const auto database = std::make_shared<const Database>(*std::move(opened));
        auto outlook = sqlite::outlook_of(*database);
        if (!outlook) return refusal(path, outlook.error().message);
        return SqliteOutlook{.is_read_only = database->read_only(),
                             .store = sqlite::store_over(*std::move(outlook), absolute),
                             .lock = database};
    } catch (const sqlite::Failure& error) {
        if (error.code() == SQLITE_BUSY && error.lock_error() == 0) return SqliteOutlook{.is_in_use = true};
        return refusal(path, sqlite::describe(error, path));
    } catch (const std::system_error& error) {
        return refusal(path, error.what());
    }
}

Expected<void> copy_sqlite_store(const fs::path& path, const fs::path& to) {
    const auto refuse = [&](const std::string& reason) {
        return failure("cannot copy " + path.string() + " to " + to.string() + ": " + reason);
    };
    try {
        std::error_code none;
        const fs::file_type type = fs::status(to, none).type();
        if (type != fs::file_type::not_found && type != fs::file_type::regular)
            return refuse("what is there is not a regular file: name another one");
        if (fs::equivalent(path, to, none)) return refuse("they are one file: name another one");
        const auto database = sqlite::open_unchanged(path);
        if (!database) return refuse(database.error().message);
        if (const auto format = format_of(*database); format && format->number == 0)
            return refuse("it is empty");
        sqlite::copy_to_file(*database, to);
        return {};
    } catch (const sqlite::Failure& error) {
        return refuse(sqlite::describe(error, path));
    } catch (const std::system_error& error) {
        return refuse(error.what());
    }
}

bool is_sqlite_copy(const fs::path& path) {
    try {
        if (!fs::is_regular_file(path)) return false;
        const auto format = format_of(Database::peek(path));
        return format && format->is_copy;
    } catch (const std::exception&) {
        return false;
    }
}

Expected<std::unique_ptr<Store>> open_sqlite_store(const fs::path& path, MissingFolder missing) {
    const auto refuse = [&](const std::string& reason) { return refusal(path, reason); };
    if (path.empty()) return failure("a store needs the path of a file");
    try {
        const fs::path absolute = fs::absolute(path);
        auto database = sqlite::open_database(absolute, missing);
        if (!database) return refuse(database.error().message);
        return sqlite::store_over(*std::move(database), absolute);
    } catch (const sqlite::Failure& error) {
        return refuse(sqlite::describe(error, path));
    } catch (const std::system_error& error) {
        return refuse(std::string(error.what()) + ": name a file in a folder where this user may write");
    }
}

Expected<std::optional<std::string>> peek_seed(const fs::path& path) {
    const auto refuse = [&](const std::string& reason) {
        return failure("cannot read " + path.string() + ": " + reason);
    };
    std::error_code error;
    if (const auto type = fs::status(path, error).type(); type != fs::file_type::regular)
        return refuse(type == fs::file_type::not_found ? "there is no such file"
                      : error                          ? error.message()
                                                       : "it is not a regular file");
    // A page that the server writes at this moment may be seen half old and half new.
    for (int attempts_left = 10;; --attempts_left) {
        try {
            const Database database = Database::peek(fs::absolute(path));
            const auto format = format_of(database);
            if (!format) return refuse(format.error().message);
            if (format->number < first_format_with_seed) return std::nullopt;
            sqlite::Statement select(database, sqlite::select_seed_sql);
            return sqlite::seed_in(select);
        } catch (const sqlite::Failure& failed) {
            if (attempts_left == 1) return refuse(sqlite::describe(failed, path));
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }
}

std::vector<std::string> sqlite_store_warnings(const fs::path& path) {
    const std::string network = network_file_system(path);
    if (network.empty()) return {};
    return {
        "the store is on a network file system (" + network +
        "): whether its locks keep a second semad out, and whether it keeps what was answered, is up to the "
        "file server: a slot may be lent twice (keep the store on a disk of this machine)"};
}

}  // namespace sema
