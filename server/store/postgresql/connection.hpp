#pragma once

#include "server/store/postgresql/postgresql_store.hpp"
#include "server/store/shared/engine.hpp"

#include <libpq-fe.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sema::postgresql {

using shared::Result;
using shared::Trouble;
using shared::trouble;

using Deadline = std::chrono::steady_clock::time_point;

inline Deadline from_now(std::chrono::milliseconds time) {
    return std::chrono::steady_clock::now() + time;
}

/// One statement; or several in one text, where there are no parameters. These are texts, and stand where the
/// statement has $1, $2 and so on; nothing stands for NULL.
struct Statement {
    std::string sql;
    std::vector<std::optional<std::string>> parameters{};
};

/// How safe the changes of a transaction are once it is answered.
enum class Commit {
    /// As the server, the database and the user are set to make them.
    as_configured,
    /// A crash may take them.
    lazy,
};

/// The statements as one transaction. How safe it is rests on nothing that another client of a pooler may
/// have set in its session; and nothing stays set there.
std::vector<Statement> transaction(std::vector<Statement> statements, Commit commit = Commit::as_configured);

/// What one statement answered.
class Rows {
  public:
    explicit Rows(PGresult* owned) : owned_(owned, &PQclear) {}

    std::size_t size() const { return static_cast<std::size_t>(PQntuples(owned_.get())); }
    /// REQUIRES: there is such a row and column. Empty where it is NULL. Valid as long as the rows.
    std::string_view text(std::size_t row, int column) const {
        const int at = static_cast<int>(row);
        return {PQgetvalue(owned_.get(), at, column),
                static_cast<std::size_t>(PQgetlength(owned_.get(), at, column))};
    }
    bool is_null(std::size_t row, int column) const {
        return PQgetisnull(owned_.get(), static_cast<int>(row), column) == 1;
    }

  private:
    std::unique_ptr<PGresult, decltype(&PQclear)> owned_;
};

/// A connection to a PostgreSQL, without knowledge of what is said over it. One thread at a time.
///
/// Whatever fails but a statement leaves no connection: what arrives late would be taken for the answer to
/// the next question.
class Connection {
  public:
    /// Waiting ends, as if the time were up, once `abandoned`, a file descriptor, can be read; -1: there is
    /// none.
    explicit Connection(int abandoned = -1) : abandoned_(abandoned) {}

    /// What was open is closed. Tries the address's hosts one after the other, `limit` each, the one that was
    /// connected last before the others, until one of them takes changes.
    Result<void> open(const PostgresqlAddress& address, std::chrono::milliseconds limit);
    bool is_open() const { return connection_ != nullptr; }
    void close() { connection_.reset(); }
    /// To be polled for input; -1 where it is closed.
    int descriptor() const { return connection_ ? PQsocket(connection_.get()) : -1; }
    /// Whether the other side hung up, as far as is known without waiting.
    bool was_closed();
    int server_version() const { return PQserverVersion(connection_.get()); }

    /// REQUIRES: nothing was sent with send() since open().
    /// Sends the statements as one message, of which PostgreSQL does nothing before all of it has arrived,
    /// and waits for their answers. Returns those that have rows or could have some. All together are one
    /// transaction, unless they begin and end some themselves; what has to be safe is to be in a
    /// transaction(). Where one fails, nothing of that transaction is applied, and the trouble is `refused`
    /// if the connection is as before.
    Result<std::vector<Rows>> exchange(const std::vector<Statement>& statements, Deadline deadline);
    /// Sends a statement that locks nothing, and whose answer is not waited for. Where that fails, the
    /// connection is closed.
    void send(const Statement& statement, Deadline deadline);
    /// Whether the last failure is one that is gone when the same is tried again.
    bool is_to_repeat() const { return is_to_repeat_; }

    /// What has come in, without waiting. Nothing where the other side has hung up.
    std::optional<std::vector<std::string>> notifications();

  private:
    Result<void> connect(const std::string& host, const std::string& port, const PostgresqlAddress& address,
                         Deadline deadline);
    bool wait_for(short what, Deadline deadline) const;
    bool flush(Deadline deadline);
    /// The next result, null after the last one; nothing where none comes in time.
    std::optional<PGresult*> next_result(Deadline deadline);
    Trouble broken();
    Trouble no_answer();

    struct Finish {
        void operator()(PGconn* connection) const { PQfinish(connection); }
    };

    const int abandoned_;
    std::unique_ptr<PGconn, Finish> connection_;
    std::size_t last_host_ = 0;
    /// Of what was sent with send().
    std::size_t unread_ = 0;
    bool is_to_repeat_ = false;
    /// PostgreSQL said that a commit which it reports as done may be lost by a failover.
    bool was_warned_ = false;
};

/// A PostgreSQL's error as a reason; says what to do where that is known.
Trouble explain(std::string_view sqlstate, std::string_view message);

/// The statement with its parameters in it.
std::string written(const Statement& statement);
/// An array of PostgreSQL as it is written in a text.
std::string array_of(const std::vector<std::string>& texts);
/// The same of bytes.
std::string array_of_bytes(const std::vector<std::string>& contents);
/// Nothing where it is not how PostgreSQL writes bytes, in either of its two ways.
std::optional<std::string> bytes_of(std::string_view text);

}  // namespace sema::postgresql
