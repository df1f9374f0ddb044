#include "server/store/postgresql/connection.hpp"

#include "server/store/shared/numbers.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <map>
#include <system_error>
#include <utility>

namespace sema::postgresql {
namespace {

using namespace std::chrono_literals;

constexpr const char* too_late = "no answer in time";

struct FreeOptions {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

// Where an @ or a / of a password is not encoded, part of it would be taken for a host or a database, and
// shown.
bool may_show_password(std::string_view uri) {
    const auto begin = uri.find("://");
    if (begin == uri.npos) return true;
    uri.remove_prefix(begin + 3);
    uri = uri.substr(0, uri.find('?'));
    const auto first = uri.find('@');
    return first != uri.rfind('@') || (first != uri.npos && first > uri.find('/'));
}

/// The parameters that a URI gives, by their keywords.
Expected<std::map<std::string, std::string>> parameters_of(const std::string& uri) {
    char* error = nullptr;
    const std::unique_ptr<PQconninfoOption, FreeOptions> options(PQconninfoParse(uri.c_str(), &error));
    PQfreemem(error);
    // What libpq says may quote the password.
    if (!options || may_show_password(uri))
        return failure(
            "it is not a connection URI of PostgreSQL: write postgresql://USER@HOST:PORT/DATABASE, with the "
            "special characters of each part percent-encoded");
    std::map<std::string, std::string> parameters;
    for (const PQconninfoOption* option = options.get(); option->keyword; ++option) {
        if (option->val) parameters.emplace(option->keyword, option->val);
    }
    return parameters;
}

std::vector<std::string> parts_of(const std::string& list) {
    std::vector<std::string> parts;
    std::size_t from = 0;
    for (;;) {
        const auto comma = list.find(',', from);
        parts.push_back(list.substr(from, comma - from));
        if (comma == list.npos) return parts;
        from = comma + 1;
    }
}

std::string value_of(const std::map<std::string, std::string>& parameters, const char* keyword) {
    const auto found = parameters.find(keyword);
    return found == parameters.end() ? std::string() : found->second;
}

/// Each host with its port; one of empty texts where the URI leaves that to libpq.
std::vector<std::pair<std::string, std::string>> hosts_of(
    const std::map<std::string, std::string>& parameters) {
    const auto hosts = parts_of(value_of(parameters, "host"));
    const auto ports = parts_of(value_of(parameters, "port"));
    std::vector<std::pair<std::string, std::string>> all;
    for (std::size_t i = 0; i < hosts.size(); ++i)
        all.emplace_back(hosts[i], i < ports.size() ? ports[i] : ports.size() == 1 ? ports.front() : "");
    return all;
}

// Those that libpq itself reads would have it wait, where one is a pipe: for who writes into that. It passes
// over some that are not there.
Result<void> check_files(PGconn* connection) {
    const std::unique_ptr<PQconninfoOption, FreeOptions> options(PQconninfo(connection));
    for (const PQconninfoOption* option = options.get(); option && option->keyword; ++option) {
        const std::string keyword = option->keyword;
        const bool names_file =
            keyword == "sslrootcert" || keyword == "sslcrl" || keyword == "sslcert" || keyword == "sslkey";
        if (!names_file || !option->val) continue;
        std::error_code unknown;
        const auto file = std::filesystem::status(option->val, unknown);
        if (std::filesystem::exists(file) && !std::filesystem::is_regular_file(file))
            return trouble("cannot read its " + keyword + " " + option->val + ": it is not a regular file",
                           Trouble::Kind::lasting);
    }
    return {};
}

// Of several lines, the first says what happened. Where the connection leads is said elsewhere.
std::string first_line(std::string_view text) {
    text = text.substr(0, text.find('\n'));
    for (const std::string_view label : {"FATAL:  ", "ERROR:  ", "failed: "}) {
        const auto at = text.rfind(label);
        if (at != text.npos) text.remove_prefix(at + label.size());
    }
    return std::string(text);
}

// What a backslash is between plain quotes is a setting of PostgreSQL's.
std::string literal_of(const std::optional<std::string>& value) {
    if (!value) return "NULL";
    std::string text = value->find('\\') == value->npos ? "'" : "E'";
    for (const char c : *value) {
        if (c == '\'' || c == '\\') text += c;
        text += c;
    }
    return text + "'";
}

// A wait for a standby was cancelled: it is not known to have the commit. What PostgreSQL says of that is in
// any language, and has a code that other warnings have as well. So it is known by where it comes from.
void notice(void* was_warned, const PGresult* result) {
    const char* const file = PQresultErrorField(result, PG_DIAG_SOURCE_FILE);
    if (file && std::string_view(file) == "syncrep.c") *static_cast<bool*>(was_warned) = true;
}

/// Why there is no connection. libpq gives the code of what it was answered only in a verbose text, as
/// `FATAL:  28P01: password authentication failed`, where all words may be of another language.
Trouble explain_refusal(std::string_view message) {
    std::string_view code;
    std::string_view words = message;
    for (auto at = message.find(":  "); at != message.npos && code.empty();
         at = message.find(":  ", at + 1)) {
        const std::string_view rest = message.substr(at + 3);
        constexpr auto digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        if (rest.find_first_not_of(digits) != 5 || rest.substr(5, 2) != ": ") continue;
        code = rest.substr(0, 5);
        words = rest.substr(7);
    }
    // What libpq itself finds wrong has no code; what PgBouncer says or passes on has this one, all of it.
    if (code.empty() || code == "08P01") {
        const auto has = [&](const char* part) { return message.find(part) != message.npos; };
        code = has("too many")                                           ? "53300"
               : has("no such database")                                 ? "3D000"
               : has("database \"") && has("does not exist")             ? "3D000"
               : has("password") || has("pg_hba.conf") || has("role \"") ? "28000"
               : has("certificate")                                      ? "28000"
                                                                         : "";
    }
    return explain(code, words);
}

}  // namespace

std::vector<Statement> transaction(std::vector<Statement> statements, Commit commit) {
    std::vector<Statement> all = {{"BEGIN ISOLATION LEVEL READ COMMITTED"},
                                  // Who may create in another schema puts no operator in place of another.
                                  {"SET LOCAL search_path = pg_catalog, pg_temp"},
                                  // A backend that waits for a row does not notice that its client has given
                                  // up, and would be one of many soon.
                                  {"SET LOCAL lock_timeout = '600ms'"},
                                  // That a wait for a standby was cancelled is a warning.
                                  {"SET LOCAL client_min_messages = warning"},
                                  {commit == Commit::lazy ? "SET LOCAL synchronous_commit = off"
                                                          : "SET LOCAL synchronous_commit = DEFAULT"}};
    std::move(statements.begin(), statements.end(), std::back_inserter(all));
    all.push_back({"COMMIT"});
    return all;
}

Trouble explain(std::string_view sqlstate, std::string_view message) {
    const std::string quoted = "it says \"" + first_line(message) + "\"";
    const auto lasting = [&](const char* advice) {
        return Trouble{quoted + ": " + advice, Trouble::Kind::lasting};
    };
    const auto is = [&](std::string_view start) { return sqlstate.substr(0, start.size()) == start; };
    if (is("28P01") || is("28000"))
        return lasting(
            "check the user, and the password in PGPASSWORD or a passfile; pg_hba.conf has to let it in");
    if (is("3D000")) return lasting("create the database, or name another one");
    if (is("42501")) return lasting("let this user do it: docs/postgresql.md says which rights semad needs");
    if (is("25006")) return {"it takes no changes at the moment"};
    if (is("53100")) return {quoted + ": make room on its disk"};
    if (is("53300")) {
        return {
            quoted +
            ": raise its max_connections, or the limit of the user or the database; each semad takes four"};
    }
    return {quoted};
}

Trouble Connection::broken() {
    const std::string why = connection_ ? first_line(PQerrorMessage(connection_.get())) : "it hung up";
    close();
    return Trouble{why.empty() ? "it hung up" : why};
}

// Or the connection broke.
Trouble Connection::no_answer() {
    if (PQstatus(connection_.get()) == CONNECTION_BAD) return broken();
    close();
    return Trouble{too_late};
}

bool Connection::wait_for(short what, Deadline deadline) const {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Deadline::clock::now());
        pollfd places[] = {{descriptor(), what, 0}, {abandoned_, POLLIN, 0}};
        const int ready = ::poll(places, 2, static_cast<int>(std::max<std::int64_t>(0, left.count())));
        if (ready > 0) return places[1].revents == 0;
        if (ready == 0 || errno != EINTR) return false;
    }
}

Result<void> Connection::open(const PostgresqlAddress& address, std::chrono::milliseconds limit) {
    close();
    const auto parameters = parameters_of(address.uri);
    if (!parameters) return trouble(parameters.error().message, Trouble::Kind::lasting);
    const auto hosts = hosts_of(*parameters);
    std::string reasons;
    Trouble last;
    for (std::size_t i = 0; i < hosts.size(); ++i) {
        const std::size_t index = (last_host_ + i) % hosts.size();
        const auto& [host, port] = hosts[index];
        const auto connected = connect(host, port, address, from_now(limit));
        if (connected) {
            last_host_ = index;
            return {};
        }
        close();
        last = connected.error();
        if (hosts.size() > 1) last.why = host + ": " + last.why;
        reasons += (reasons.empty() ? "" : "; ") + last.why;
    }
    // Another host may do what this one does not.
    if (hosts.size() > 1) last.kind = Trouble::Kind::away;
    return trouble(reasons, last.kind);
}

Result<void> Connection::connect(const std::string& host, const std::string& port,
                                 const PostgresqlAddress& address, Deadline deadline) {
    std::vector<const char*> keywords = {"dbname", "application_name", "client_encoding"};
    std::vector<const char*> values = {address.uri.c_str(), "semad", "UTF8"};
    // Later keywords count: one host at a time, since one that is away would take all the time there is.
    if (!host.empty()) {
        keywords.push_back("host");
        values.push_back(host.c_str());
        keywords.push_back("port");
        values.push_back(port.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    connection_.reset(PQconnectStartParams(keywords.data(), values.data(), 1));
    if (!connection_) return trouble("there is no memory for a connection");
    PQsetNoticeReceiver(connection_.get(), notice, &was_warned_);
    PQsetErrorVerbosity(connection_.get(), PQERRORS_VERBOSE);
    if (auto checked = check_files(connection_.get()); !checked) return checked;
    PostgresPollingStatusType wish = PGRES_POLLING_WRITING;
    while (wish != PGRES_POLLING_OK) {
        if (PQstatus(connection_.get()) == CONNECTION_BAD || wish == PGRES_POLLING_FAILED)
            return tl::unexpected(explain_refusal(PQerrorMessage(connection_.get())));
        if (!wait_for(wish == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline)) return trouble(too_late);
        wish = PQconnectPoll(connection_.get());
    }
    PQsetErrorVerbosity(connection_.get(), PQERRORS_DEFAULT);
    PQsetnonblocking(connection_.get(), 1);
    unread_ = 0;
    // PostgreSQL gives up a client that cannot be reached, or does not read, for ten seconds. (None of this
    // is refused where it means nothing, as on a Unix socket.)
    const auto rows =
        exchange({{"SET tcp_keepalives_idle = 4"},
                  {"SET tcp_keepalives_interval = 2"},
                  {"SET tcp_keepalives_count = 3"},
                  {"SET tcp_user_timeout = 10000"},
                  {"SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')"}},
                 deadline);
    if (!rows) return tl::unexpected(rows.error());
    const Rows& row = rows->front();
    if (row.text(0, 0) != "f") return trouble("it is a standby at the moment, and takes no changes");
    if (row.text(0, 1) != "off")
        return trouble("it takes no changes as long as its default_transaction_read_only is on");
    return {};
}

bool Connection::was_closed() {
    if (!connection_) return true;
    if (PQconsumeInput(connection_.get()) == 1 && PQstatus(connection_.get()) == CONNECTION_OK) return false;
    close();
    return true;
}

bool Connection::flush(Deadline deadline) {
    for (;;) {
        const int left = PQflush(connection_.get());
        if (left <= 0) return left == 0;
        if (!wait_for(POLLIN | POLLOUT, deadline)) return false;
        if (PQconsumeInput(connection_.get()) != 1) return false;
    }
}

std::optional<PGresult*> Connection::next_result(Deadline deadline) {
    while (PQisBusy(connection_.get()) == 1) {
        if (!wait_for(POLLIN, deadline) || PQconsumeInput(connection_.get()) != 1) return std::nullopt;
    }
    return PQgetResult(connection_.get());
}

// The simple protocol: of the extended one each message is done as it comes, and a client that is halted or
// cut off between two of them would leave a transaction open, with its locks.
Result<std::vector<Rows>> Connection::exchange(const std::vector<Statement>& statements, Deadline deadline) {
    if (!connection_) return trouble("it hung up");
    is_to_repeat_ = was_warned_ = false;
    std::string text;
    for (const Statement& statement : statements)
        text += written(statement) + ";\n";
    if (PQsendQuery(connection_.get(), text.c_str()) != 1) return tl::unexpected(broken());
    if (!flush(deadline)) return tl::unexpected(no_answer());
    std::vector<Rows> answers;
    std::optional<Trouble> failed;
    bool is_committed = false;
    for (;;) {
        const auto result = next_result(deadline);
        if (!result) return tl::unexpected(no_answer());
        if (!*result) break;
        Rows rows(*result);
        const ExecStatusType status = PQresultStatus(*result);
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
            if (std::string_view(PQcmdStatus(*result)) == "COMMIT") is_committed = true;
            if (status == PGRES_TUPLES_OK) answers.push_back(std::move(rows));
        } else if (status == PGRES_FATAL_ERROR && !failed) {
            const char* const code = PQresultErrorField(*result, PG_DIAG_SQLSTATE);
            const char* const message = PQresultErrorField(*result, PG_DIAG_MESSAGE_PRIMARY);
            const std::string_view state = code ? code : "";
            is_to_repeat_ = state.substr(0, 2) == "40" && !is_committed;
            failed = explain(state, message ? message : PQresultErrorMessage(*result));
            // It is ended, or about to end, or not the one that we want any more.
            const std::string_view kind = state.substr(0, 2);
            const bool goes_on =
                failed->kind == Trouble::Kind::away && kind != "57" && kind != "25" && kind != "08";
            // What was committed is applied, whatever became of the answer.
            if (goes_on && !is_committed) failed->kind = Trouble::Kind::refused;
        }
    }
    if (PQstatus(connection_.get()) == CONNECTION_BAD) return tl::unexpected(broken());
    if (was_warned_) failed = Trouble{"it could not wait for its standby"};
    if (!failed) return answers;
    if (failed->kind != Trouble::Kind::refused) {
        close();
    } else if (PQtransactionStatus(connection_.get()) != PQTRANS_IDLE) {
        const bool is_to_repeat = is_to_repeat_;
        const bool is_ready = exchange({{"ROLLBACK"}}, deadline).has_value();
        is_to_repeat_ = is_to_repeat && is_ready;
    }
    return tl::unexpected(*failed);
}

// The extended protocol, in which several can be under way.
void Connection::send(const Statement& statement, Deadline deadline) {
    if (!connection_) return;
    if (PQenterPipelineMode(connection_.get()) != 1 ||
        PQsendQueryParams(connection_.get(), written(statement).c_str(), 0, nullptr, nullptr, nullptr,
                          nullptr, 0) != 1 ||
        PQpipelineSync(connection_.get()) != 1 || !flush(deadline))
        return close();
    ++unread_;
    // What has come meanwhile is read, so that it does not pile up.
    while (unread_ > 0 && PQconsumeInput(connection_.get()) == 1 && PQisBusy(connection_.get()) == 0) {
        PGresult* const result = PQgetResult(connection_.get());
        if (result && PQresultStatus(result) == PGRES_PIPELINE_SYNC) --unread_;
        PQclear(result);
    }
    if (PQstatus(connection_.get()) == CONNECTION_BAD) close();
}

std::optional<std::vector<std::string>> Connection::notifications() {
    if (was_closed()) return std::nullopt;
    std::vector<std::string> texts;
    while (PGnotify* const found = PQnotifies(connection_.get())) {
        texts.emplace_back(found->extra);
        PQfreemem(found);
    }
    return texts;
}

std::string written(const Statement& statement) {
    if (statement.parameters.empty()) return statement.sql;
    std::string text;
    std::string_view rest = statement.sql;
    for (auto dollar = rest.find('$'); dollar != rest.npos; dollar = rest.find('$')) {
        text += rest.substr(0, dollar);
        rest.remove_prefix(dollar + 1);
        const auto digits = rest.substr(0, rest.find_first_not_of("0123456789"));
        text += literal_of(statement.parameters.at(*shared::parse_number<std::size_t>(digits) - 1));
        rest.remove_prefix(digits.size());
    }
    return text.append(rest);
}

std::string array_of(const std::vector<std::string>& texts) {
    std::string array = "{";
    for (const std::string& text : texts) {
        array += array.size() > 1 ? ",\"" : "\"";
        for (const char c : text) {
            if (c == '"' || c == '\\') array += '\\';
            array += c;
        }
        array += '"';
    }
    return array + "}";
}

std::string array_of_bytes(const std::vector<std::string>& contents) {
    constexpr char digits[] = "0123456789abcdef";
    std::string array = "{";
    for (const std::string& content : contents) {
        array += array.size() > 1 ? ",\"\\\\x" : "\"\\\\x";
        for (const char c : content) {
            const auto byte = static_cast<unsigned char>(c);
            array += digits[byte >> 4U];
            array += digits[byte & 15U];
        }
        array += '"';
    }
    return array + "}";
}

// With bytea_output = hex: `\x`, and two digits a byte. With escape: each byte as it is, or as `\ooo`, in
// octal; but a backslash as `\\`.
std::optional<std::string> bytes_of(std::string_view text) {
    const bool is_hex = text.starts_with("\\x");
    if (is_hex) text.remove_prefix(2);
    std::string bytes;
    while (!text.empty()) {
        std::size_t size = 1;
        std::optional<unsigned char> byte = static_cast<unsigned char>(text.front());
        if (is_hex) {
            size = 2;
            byte = shared::parse_number<unsigned char>(text.substr(0, size), 16);
        } else if (text.starts_with("\\\\")) {
            size = 2;
        } else if (text.front() == '\\') {
            size = 4;
            byte = shared::parse_number<unsigned char>(text.substr(1, size - 1), 8);
        }
        if (!byte || text.size() < size) return std::nullopt;
        bytes += static_cast<char>(*byte);
        text.remove_prefix(size);
    }
    return bytes;
}

}  // namespace sema::postgresql

namespace sema {

bool is_postgresql_url(std::string_view text) {
    return text.starts_with("postgresql:") || text.starts_with("postgres:");
}

Expected<PostgresqlAddress> parse_postgresql_address(std::string_view url) {
    PostgresqlAddress address{.uri = std::string(url)};
    const auto parameters = postgresql::parameters_of(address.uri);
    if (!parameters) return tl::unexpected(parameters.error());
    address.has_password = !postgresql::value_of(*parameters, "password").empty();
    return address;
}

std::string describe(const PostgresqlAddress& address) {
    const auto parameters = postgresql::parameters_of(address.uri);
    if (!parameters) return "postgresql:";
    std::string text = "postgresql://";
    bool is_first = true;
    for (const auto& [host, port] : postgresql::hosts_of(*parameters)) {
        if (!std::exchange(is_first, false)) text += ',';
        text += host.find(':') == host.npos ? host : "[" + host + "]";
        if (!port.empty()) text += ":" + port;
    }
    return text + "/" + postgresql::value_of(*parameters, "dbname");
}

}  // namespace sema
