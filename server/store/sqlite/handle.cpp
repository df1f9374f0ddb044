#include "server/store/sqlite/handle.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

namespace sema::sqlite {
namespace {

// What SQLite says may quote a damaged file.
std::string in_ascii(std::string text) {
    for (char& c : text) {
        if (static_cast<unsigned char>(c) > 0x7f) c = '?';
    }
    return text;
}

// `last_error` is errno as the call left it, which had set out with 0.
[[noreturn]] void fail(sqlite3* database, int last_error) {
    const int code = sqlite3_extended_errcode(database);
    std::string message = in_ascii(sqlite3_errmsg(database));
    // After other errors SQLite may still hold the system's reason for an earlier one.
    const int reason = sqlite3_system_errno(database);
    if ((code & 0xff) == SQLITE_CANTOPEN && reason != 0) message += std::string(": ") + std::strerror(reason);
    throw Failure(code, message, last_error);
}

// What stands behind a code, where that is about a lock. SQLite takes these errors of fcntl(2) for a lock
// that somebody else has, and forgets which it was; Linux says EAGAIN of such a one.
int lock_error_of(int extended_code, int system_error) {
    switch (extended_code) {
        case SQLITE_BUSY: {
            constexpr int other_errors[] = {ENOLCK, EACCES, ETIMEDOUT, EBUSY};
            const bool is_other =
                std::count(std::begin(other_errors), std::end(other_errors), system_error) > 0;
            return is_other ? system_error : 0;
        }
        case SQLITE_PERM:
            return system_error == EPERM ? EPERM : 0;
        case SQLITE_IOERR_LOCK:
        case SQLITE_IOERR_RDLOCK:
        case SQLITE_IOERR_UNLOCK:
        case SQLITE_IOERR_CHECKRESERVEDLOCK:
            return system_error != 0 ? system_error : ENOLCK;
        default:
            return 0;
    }
}

void check(int code, sqlite3* database) {
    if (code != SQLITE_OK) fail(database, 0);
}

// A path within a `file:` URI, in which these three characters have a meaning.
std::string escape_for_uri(const std::string& path) {
    std::string escaped;
    for (const char c : path) {
        switch (c) {
            case '%':
                escaped += "%25";
                break;
            case '?':
                escaped += "%3f";
                break;
            case '#':
                escaped += "%23";
                break;
            default:
                escaped += c;
        }
    }
    return escaped;
}

}  // namespace

Failure::Failure(int extended_code, const std::string& message, int system_error)
    : std::runtime_error(message + " (SQLite code " + std::to_string(extended_code) + ")"),
      extended_code_(extended_code),
      lock_error_(lock_error_of(extended_code, system_error)) {}

Database Database::open(const std::filesystem::path& path) {
    return {path.string(), SQLITE_OPEN_READWRITE};
}

Database Database::peek(const std::filesystem::path& path) {
    return {"file:" + escape_for_uri(path.string()) + "?immutable=1", SQLITE_OPEN_READONLY | SQLITE_OPEN_URI};
}

Database Database::in_memory() {
    return {":memory:", SQLITE_OPEN_READWRITE};
}

// NOMUTEX: one thread at a time is this class's contract, so SQLite need not lock.
Database::Database(const std::string& name, int flags) {
    const int code = sqlite3_open_v2(name.c_str(), &handle_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
    if (handle_ == nullptr) throw std::bad_alloc();
    try {
        check(code, handle_);
        sqlite3_extended_result_codes(handle_, 1);
    } catch (...) {
        sqlite3_close(handle_);
        throw;
    }
}

Database::Database(Database&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

Database::~Database() {
    sqlite3_close(handle_);
}

void Database::execute(const char* sql) {
    errno = 0;
    if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail(handle_, errno);
}

bool Database::read_only() const {
    return sqlite3_db_readonly(handle_, "main") != 0;
}

void Database::keep_log_on_close() {
    check(sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr), handle_);
}

// Zeros are no frames of a log: to SQLite, whose checksums and salts they lack, the log ends before them.
void Database::lengthen_log(std::int64_t pages) {
    // SQLite opens the log when it first reads after the change of the journal mode.
    execute("PRAGMA schema_version");
    sqlite3_file* log = nullptr;
    sqlite3_file_control(handle_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (log == nullptr || log->pMethods == nullptr) return;
    std::int64_t page_size = 0;
    Statement(*this, "PRAGMA page_size").query([&](const Row& row) { page_size = row.integer(0); });
    constexpr std::int64_t log_header = 32;
    constexpr std::int64_t frame_header = 24;
    const sqlite3_int64 length = log_header + pages * (frame_header + page_size);
    const std::vector<char> zeros(64 * 1024);
    sqlite3_int64 end = 0;
    if (log->pMethods->xFileSize(log, &end) != SQLITE_OK) return;
    while (end < length) {
        const auto size = std::min<sqlite3_int64>(length - end, static_cast<sqlite3_int64>(zeros.size()));
        if (log->pMethods->xWrite(log, zeros.data(), static_cast<int>(size), end) != SQLITE_OK) break;
        end += size;
    }
    log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
}

std::int64_t Row::integer(int column) const {
    if (sqlite3_column_type(statement_, column) != SQLITE_INTEGER) refuse(column);
    return sqlite3_column_int64(statement_, column);
}

std::int64_t Row::natural(int column) const {
    const std::int64_t value = integer(column);
    if (value < 0) refuse(column);
    return value;
}

std::uint32_t Row::number(int column) const {
    const std::int64_t value = integer(column);
    if (value < 0 || value > std::numeric_limits<std::uint32_t>::max()) refuse(column);
    return static_cast<std::uint32_t>(value);
}

std::string Row::text(int column) const {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    const int size = sqlite3_column_bytes(statement_, column);
    return size == 0 ? std::string() : std::string(bytes, static_cast<std::size_t>(size));
}

std::optional<std::string> Row::optional_text(int column) const {
    if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
    return text(column);
}

boost::uuids::uuid Row::uuid(int column) const {
    boost::uuids::uuid value;
    const auto* bytes = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_, column));
    if (sqlite3_column_bytes(statement_, column) != static_cast<int>(value.size())) refuse(column);
    std::copy(bytes, bytes + value.size(), value.begin());
    return value;
}

void Row::refuse(int column) {
    throw Failure(SQLITE_CORRUPT,
                  "column " + std::to_string(column) + " of a row holds what no server writes");
}

Statement::Statement(const Database& database, const char* sql) : database_(database.raw()) {
    check(sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr), database_);
}

Statement::~Statement() {
    sqlite3_finalize(statement_);
}

Statement::Reset::~Reset() {
    sqlite3_reset(statement);
}

void Statement::bind(int index, std::int64_t value) {
    check(sqlite3_bind_int64(statement_, index, value), database_);
}

void Statement::bind(int index, std::string_view value) {
    check(sqlite3_bind_text64(statement_, index, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8),
          database_);
}

void Statement::bind(int index, const std::optional<std::string>& value) {
    if (value) return bind(index, std::string_view(*value));
    check(sqlite3_bind_null(statement_, index), database_);
}

void Statement::bind(int index, const boost::uuids::uuid& value) {
    check(sqlite3_bind_blob(statement_, index, value.begin(), static_cast<int>(value.size()), SQLITE_STATIC),
          database_);
}

void Statement::bind(int index, const Blob& value) {
    const std::string_view bytes = value.bytes;
    check(sqlite3_bind_blob64(statement_, index, bytes.data(), bytes.size(), SQLITE_STATIC), database_);
}

bool Statement::step() {
    errno = 0;
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) fail(database_, errno);
    return false;
}

int Statement::changed_rows() const {
    return sqlite3_changes(database_);
}

Transaction::Statements Transaction::for_writing(const Database& database) {
    return {{database, "BEGIN IMMEDIATE"}, {database, "COMMIT"}};
}

Transaction::Statements Transaction::exclusive(const Database& database) {
    return {{database, "BEGIN EXCLUSIVE"}, {database, "COMMIT"}};
}

Transaction::Transaction(Database& database, Statements& statements)
    : database_(database), statements_(statements) {
    statements_.begin.run();
}

// SQLite itself has rolled back already after some errors (a full disk, a failed write), and then a
// ROLLBACK would be one more error.
Transaction::~Transaction() {
    if (sqlite3_get_autocommit(database_.raw()) == 0)
        sqlite3_exec(database_.raw(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
    statements_.commit.run();
}

}  // namespace sema::sqlite
