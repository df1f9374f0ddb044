#pragma once

#include <boost/uuid/uuid.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

struct sqlite3;
struct sqlite3_stmt;

/// SQLite's handles as owned values, and its error codes as exceptions. What the database means is not
/// known here, but in sqlite_store.cpp.
namespace sema::sqlite {

/// A call that failed. what() is for people: SQLite's words, the operating system's where a file could not
/// be opened, and the extended result code. It never holds a value that was bound or read.
class Failure : public std::runtime_error {
  public:
    Failure(int extended_code, const std::string& message, int system_error = 0);
    /// The primary result code: SQLITE_FULL, SQLITE_BUSY, ...
    int code() const { return extended_code_ & 0xff; }
    /// What the operating system said where it gave no lock, and not for the reason that another process has
    /// it. 0 in all other cases.
    int lock_error() const { return lock_error_; }

  private:
    int extended_code_;
    int lock_error_;
};

/// An open database. One thread at a time.
class Database {
  public:
    /// Opens an existing file to read and write it. Takes no lock yet; never waits for one.
    static Database open(const std::filesystem::path& path);

    /// Opens an existing file to look at it: no lock is taken or minded, no journal is replayed and
    /// nothing is written, beside the file neither. So it shows the file's content and not what is still
    /// in its write-ahead log.
    static Database peek(const std::filesystem::path& path);

    /// Makes an empty one that is kept nowhere.
    static Database in_memory();

    Database(Database&& other) noexcept;
    Database& operator=(Database&&) = delete;
    ~Database();

    /// Runs one statement or several; their rows are dropped.
    void execute(const char* sql);

    /// True when the operating system let the file be opened for reading only.
    bool read_only() const;

    /// Leaves the write-ahead log as it is when the database is closed, for a file that is not ours.
    void keep_log_on_close();

    /// Makes the file of the write-ahead log so long at once that it holds `pages` pages, unless it does
    /// already. What is in it stays as it is. Best effort: where there is no room the log is as long as could
    /// be. REQUIRES: the journal mode is WAL.
    void lengthen_log(std::int64_t pages);

    sqlite3* raw() const { return handle_; }

  private:
    Database(const std::string& name, int flags);
    sqlite3* handle_ = nullptr;
};

/// The current row of a query, columns counted from 0. A value of a shape that the caller did not expect
/// is a Failure with SQLITE_CORRUPT.
class Row {
  public:
    explicit Row(sqlite3_stmt* statement) : statement_(statement) {}

    std::int64_t integer(int column) const;
    /// An integer from 0 on.
    std::int64_t natural(int column) const;
    /// An integer in 0..2^32-1.
    std::uint32_t number(int column) const;
    std::string text(int column) const;
    std::optional<std::string> optional_text(int column) const;
    boost::uuids::uuid uuid(int column) const;
    /// Throws the Failure of a value that no server writes.
    [[noreturn]] static void refuse(int column);

  private:
    sqlite3_stmt* statement_;
};

/// Bytes, as the value of a parameter.
struct Blob {
    std::string_view bytes;
};

/// A prepared statement, to be run any number of times. REQUIRES: its database outlives it.
class Statement {
  public:
    Statement(const Database& database, const char* sql);
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;
    ~Statement();

    /// Runs a query with `values` for ?1, ?2 and so on, and calls `on_row` for each row of the result. One
    /// that returns false has seen enough.
    template <class OnRow, class... Values>
    void query(OnRow on_row, const Values&... values) {
        const Reset reset{statement_};
        int index = 0;
        (bind(++index, values), ...);
        while (step()) {
            if constexpr (std::is_same_v<decltype(on_row(Row(statement_))), bool>) {
                if (!on_row(Row(statement_))) return;
            } else {
                on_row(Row(statement_));
            }
        }
    }

    /// Runs an INSERT, UPDATE or DELETE and returns the number of rows that it touched.
    template <class... Values>
    int run(const Values&... values) {
        query([](const Row&) {}, values...);
        return changed_rows();
    }

  private:
    // However a run ends, the statement holds no lock and no pointer to a bound value afterwards.
    struct Reset {
        sqlite3_stmt* statement;
        ~Reset();
    };

    void bind(int index, std::int64_t value);
    void bind(int index, std::string_view value);
    void bind(int index, const std::string& value) { bind(index, std::string_view(value)); }
    void bind(int index, const std::optional<std::string>& value);
    void bind(int index, const boost::uuids::uuid& value);
    void bind(int index, const Blob& value);
    bool step();
    int changed_rows() const;

    sqlite3* database_;
    sqlite3_stmt* statement_ = nullptr;
};

/// A write transaction, rolled back at the end of its scope unless it was committed. Leaves the database
/// usable whatever failed within it.
class Transaction {
  public:
    /// Its statements, prepared once for many transactions.
    struct Statements {
        Statement begin;
        Statement commit;
    };
    /// No other connection may write.
    static Statements for_writing(const Database& database);
    /// No other connection may do anything.
    static Statements exclusive(const Database& database);

    Transaction(Database& database, Statements& statements);
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    ~Transaction();

    void commit();

  private:
    Database& database_;
    Statements& statements_;
};

}  // namespace sema::sqlite
