#include "tests/support/postgresql_server.hpp"

#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace sema::test {
namespace {

namespace fs = std::filesystem;

struct Connection {
    explicit Connection(const std::string& url)
        : connection(PQconnectdb((url + "&connect_timeout=10").c_str())) {}
    ~Connection() { PQfinish(connection); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    PGconn* connection;
};

// Whoever it runs as may be there.
ProgramOptions at_root(ProgramOptions options) {
    options.directory = "/";
    return options;
}

fs::path must_find() {
    const auto folder = find_postgresql();
    if (!folder) throw std::runtime_error("no PostgreSQL is on this machine");
    return *folder;
}

void give_to_its_user(const fs::path& path) {
    if (::geteuid() != 0) return;
    const passwd* const user = ::getpwnam("postgres");
    if (!user) throw std::runtime_error("there is no user postgres, and root may not run PostgreSQL");
    const auto give = [&](const fs::path& each) {
        if (::lchown(each.c_str(), user->pw_uid, user->pw_gid) != 0)
            throw std::system_error(errno, std::generic_category(), "chown " + each.string());
    };
    give(path);
    if (!fs::is_directory(path)) return;
    for (const auto& entry : fs::recursive_directory_iterator(path))
        give(entry.path());
}

}  // namespace

PostgresqlServer::PostgresqlServer(PostgresqlOptions options) : options_(std::move(options)) {
    choose_port();
    give_to_its_user(folder_.path());
    // To make a cluster takes a second or two: it is done once, and copied.
    const fs::path folder = must_find();
    const fs::path ready =
        fs::path(TOOLS_FOLDER) / ("postgresql-" + folder.parent_path().filename().string());
    fs::create_directories(ready.parent_path());
    const int lock = ::open((ready.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    ::flock(lock, LOCK_EX);
    if (!fs::exists(ready)) {
        run({folder / "initdb", "--pgdata", data(), "--username", "postgres", "--auth", "trust", "--encoding",
             "UTF8", "--locale", "C", "--no-sync"});
        const fs::path part = ready.string() + ".part";
        fs::remove_all(part);
        fs::copy(data(), part, fs::copy_options::recursive);
        fs::rename(part, ready);
    } else {
        fs::copy(ready, data(), fs::copy_options::recursive);
    }
    ::close(lock);
    write_settings(options_.config);
    start();
}

PostgresqlServer::PostgresqlServer(const PostgresqlServer& primary, const std::string& name,
                                   PostgresqlOptions options)
    : options_(std::move(options)) {
    choose_port();
    give_to_its_user(folder_.path());
    run({must_find() / "pg_basebackup", "--pgdata", data(), "--dbname",
         "host=" + primary.options_.address + " port=" + std::to_string(primary.port()) +
             " user=postgres application_name=" + name,
         "--write-recovery-conf", "--checkpoint", "fast", "--no-sync"});
    write_settings(options_.config);
    start();
}

// One that is killed leaves a segment of shared memory behind, of which a system has a few thousand.
PostgresqlServer::~PostgresqlServer() {
    if (!server_ || server_->ended()) return;
    signal_all(SIGCONT);
    server_->signal(SIGQUIT);
    eventually([this] { return server_->ended(); }, std::chrono::seconds(5));
}

void PostgresqlServer::choose_port() {
    port_ = options_.port != 0 ? options_.port : reserved_.emplace().number();
}

std::string PostgresqlServer::url(const std::string& database) const {
    return "postgresql://postgres@" + options_.address + ":" + std::to_string(port_) + "/" + database;
}

std::vector<std::string> PostgresqlServer::as_its_user(std::vector<std::string> command) const {
    if (::geteuid() != 0) return command;
    std::vector<std::string> all = {"/usr/bin/setpriv", "--reuid",       "postgres", "--regid",
                                    "postgres",         "--init-groups", "--"};
    std::move(command.begin(), command.end(), std::back_inserter(all));
    return all;
}

void PostgresqlServer::run(std::vector<std::string> command) const {
    const std::string name = command.front();
    const Finished done = run_program(as_its_user(std::move(command)), at_root(options_.program));
    if (done.status != 0) throw std::runtime_error(name + " failed: " + done.err + done.out);
}

void PostgresqlServer::write_settings(const std::vector<std::string>& config) {
    // It takes room that a machine of many tests lacks, and no time that a crash would not cost anyway.
    std::ofstream settings(data() / "postgresql.conf", std::ios::app);
    settings << "port = " << port() << "\nlisten_addresses = '" << options_.address
             << "'\nunix_socket_directories = '" << folder_.path().string()
             << "'\nshared_buffers = 16MB\nmax_connections = 60\n"
             << "max_wal_senders = 5\nwal_level = replica\nhot_standby = on\nrecovery_init_sync_method = "
                "syncfs\nlog_line_prefix = ''\n";
    for (const std::string& line : config)
        settings << line << '\n';
    settings.close();
    std::ofstream(data() / "pg_hba.conf")
        << "local all all trust\nhost all all all trust\nhost replication all all trust\n";
    give_to_its_user(data());
    fs::permissions(data(), fs::perms::owner_all);
}

void PostgresqlServer::configure(const std::vector<std::string>& lines) {
    write_settings(lines);
    query("SELECT pg_reload_conf()");
}

void PostgresqlServer::start() {
    server_ = std::make_unique<Program>(as_its_user({must_find() / "postgres", "-D", data()}),
                                        at_root(options_.program));
    if (!eventually([this] { return server_->ended() || serves(); }) || server_->ended())
        throw std::runtime_error("PostgreSQL did not start; it wrote: " + log());
}

bool PostgresqlServer::serves() const {
    const std::string to =
        "host=" + folder_.path().string() + " port=" + std::to_string(port_) + " connect_timeout=2";
    return PQping(to.c_str()) == PQPING_OK;
}

// Each of its processes has a session of its own.
void PostgresqlServer::signal_all(int number) const {
    const std::string pid = std::to_string(server_->pid());
    std::ifstream children("/proc/" + pid + "/task/" + pid + "/children");
    server_->signal(number);
    for (pid_t child = 0; children >> child;)
        number == SIGSTOP ? halt(child) : static_cast<void>(::kill(child, number));
}

// A process of it that was just begun, or is not quite dead, would keep it from being started again.
void PostgresqlServer::kill9() {
    signal_all(SIGKILL);
    server_->wait();
    const auto kill_rest = [folder = std::filesystem::canonical(data())] {
        bool is_gone = true;
        for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
            std::error_code error;
            if (std::filesystem::read_symlink(entry.path() / "cwd", error) != folder) continue;
            is_gone = false;
            ::kill(std::stoi(entry.path().filename()), SIGKILL);
        }
        return is_gone;
    };
    if (!eventually(kill_rest)) throw std::runtime_error("PostgreSQL cannot be killed");
}

void PostgresqlServer::stop() {
    server_->signal(SIGINT);
    server_->wait();
}

void PostgresqlServer::pause() {
    signal_all(SIGSTOP);
}

void PostgresqlServer::resume() {
    signal_all(SIGCONT);
}

void PostgresqlServer::promote() {
    query("SELECT pg_promote()");
    if (!eventually([this] { return query("SELECT pg_is_in_recovery()").front() == "f"; }))
        throw std::runtime_error("the standby was not promoted");
}

std::vector<std::string> PostgresqlServer::query(const std::string& sql, const std::string& database) const {
    // From wherever the test is.
    const Connection to("postgresql://postgres@/" + database + "?host=" + folder_.path().string() +
                        "&port=" + std::to_string(port_));
    PGresult* const result = PQexec(to.connection, sql.c_str());
    std::vector<std::string> values;
    for (int row = 0; row < PQntuples(result); ++row) {
        for (int column = 0; column < PQnfields(result); ++column)
            values.emplace_back(PQgetisnull(result, row, column) == 1 ? "(null)"
                                                                      : PQgetvalue(result, row, column));
    }
    const ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        throw std::runtime_error(sql + ": " + PQerrorMessage(to.connection));
    return values;
}

}  // namespace sema::test
