#include "server/store/sqlite/sqlite_store.hpp"

#include "server/store/sqlite/handle.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/forked_child.hpp"
#include "tests/support/store_changes.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <map>

// How a store opens its file, and which files it refuses.

namespace fs = std::filesystem;
using namespace sema;
using namespace sema::test;

namespace {

const PoolId pool = PoolId::random();

std::unique_ptr<Store> open_store(const fs::path& path) {
    auto store = open_sqlite_store(path);
    if (!store) throw std::runtime_error(store.error().message);
    return *std::move(store);
}

void put_pool(Store& store, unsigned count) {
    REQUIRE(committed(store.commit({change(pool).to(1).count(count).put(some_slot(0))}, std::nullopt)));
}

/// Why the file is refused; a word of its own when it is not.
std::string refusal(const fs::path& path) {
    const auto store = open_sqlite_store(path);
    return store ? "opened" : store.error().message;
}

unsigned mode(const fs::path& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777U;
}

/// The names and contents of all files in a folder. REQUIRES: this process has none of them open, since
/// reading a file drops this process's locks on it.
std::map<std::string, std::string> contents(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder)) {
        std::ifstream file(entry.path(), std::ios::binary);
        files[entry.path().filename().string()] = std::string(std::istreambuf_iterator<char>(file), {});
    }
    return files;
}

void write_file(const fs::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
}

/// Makes a database with what `sql` puts in it.
void make_database(const fs::path& path, const char* sql) {
    write_file(path, "");
    sqlite::Database::open(path).execute(sql);
}

/// Makes a database as a killed program leaves it: what `sql` puts in it is in the write-ahead log alone.
void make_database_in_log(const fs::path& path, const char* sql) {
    ForkedChild program([&](const ForkedChild::Report& report) {
        write_file(path, "");
        auto database = sqlite::Database::open(path);
        database.execute("PRAGMA journal_mode = WAL");
        database.execute(sql);
        report("done");
        ::pause();
    });
    REQUIRE(program.next_line() == "done");
}

constexpr const char* later_format =
    "PRAGMA application_id = 0x53454D41; PRAGMA user_version = 7; CREATE TABLE x (y)";

}  // namespace

TEST_CASE("a new database is its owner's alone, and so are the folders made for it") {
    const TempDir folder;
    const fs::path made = folder.path() / "state";
    const fs::path path = made / "semad" / "semad.db";
    const auto store = open_sqlite_store(path, MissingFolder::make).value();
    put_pool(*store, 4);
    CHECK(mode(made) == 0700);
    CHECK(mode(made / "semad") == 0700);
    CHECK(mode(path) == 0600);
    CHECK(mode(path.string() + "-wal") == 0600);
    const auto files = std::distance(fs::directory_iterator(made / "semad"), fs::directory_iterator());
    CHECK(files == 2);
}

TEST_CASE("a closed store is a single file that any SQLite program can read") {
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    put_pool(*open_store(path), 4);
    CHECK(contents(folder.path()).size() == 1);
    const auto database = sqlite::Database::peek(path);
    std::vector<std::uint32_t> counts;
    sqlite::Statement(database, "SELECT count FROM pools").query([&](const sqlite::Row& row) {
        counts.push_back(row.number(0));
    });
    CHECK(counts == std::vector<std::uint32_t>{4});
}

TEST_CASE("an empty file becomes a store, and private") {
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    write_file(path, "");
    fs::permissions(path, fs::perms::all);
    put_pool(*open_store(path), 4);
    CHECK(mode(path) == 0600);
    CHECK(loaded(*open_store(path), pool).count == 4);
}

TEST_CASE("an existing store keeps the mode that its owner gave it") {
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    open_store(path);
    fs::permissions(path, fs::perms(0640));
    open_store(path);
    CHECK(mode(path) == 0640);
}

TEST_CASE("a path may hold characters that mean something in a URI") {
    const TempDir folder;
    const fs::path path = folder.path() / "a ?mode=memory#%41&\xc3\xa4.db";
    put_pool(*open_store(path), 4);
    CHECK(fs::exists(path));
    CHECK(loaded(*open_store(path), pool).count == 4);
}

TEST_CASE("a store that another process has open is refused, and taken over once that is killed") {
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    ForkedChild server([&](const ForkedChild::Report& report) {
        const auto store = open_store(path);
        store->commit({change(pool).to(1).count(4)}, std::nullopt);
        report("open");
        ::pause();
    });
    REQUIRE(server.next_line() == "open");
    const auto before = contents(folder.path());
    CHECK(refusal(path) ==
          "cannot use " + path.string() +
              " as a store: another process has it open: stop that one or name another file");
    CHECK(contents(folder.path()) == before);
    server.kill();
    CHECK(loaded(*open_store(path), pool).count == 4);
}

TEST_CASE("a store that was made a moment ago is locked before anything is committed to it") {
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    ForkedChild server([&](const ForkedChild::Report& report) {
        const auto store = open_store(path);
        report("open");
        ::pause();
    });
    REQUIRE(server.next_line() == "open");
    CHECK_THAT(refusal(path), has_text("another process has it open"));
}

TEST_CASE("a second open that is refused leaves the lock of the first in place") {
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    const auto store = open_store(path);
    CHECK_THAT(refusal(path), has_text("another process has it open"));
    // The child asks the operating system, not SQLite, of which it has this process's copy.
    ForkedChild other([&](const ForkedChild::Report& report) {
        const int descriptor = ::open(path.c_str(), O_RDWR);
        struct flock whole_file {};
        whole_file.l_type = F_WRLCK;
        whole_file.l_whence = SEEK_SET;
        ::fcntl(descriptor, F_GETLK, &whole_file);
        report(whole_file.l_type == F_UNLCK ? "free" : "locked");
    });
    CHECK(other.next_line() == "locked");
}

TEST_CASE("a file that is no database of ours is refused with its own reason and left as it was") {
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    const auto is_refused_for = [&](const std::string& reason) {
        const auto before = contents(folder.path());
        CHECK(refusal(path) == "cannot use " + path.string() + " as a store: " + reason);
        CHECK(contents(folder.path()) == before);
    };
    const std::string no_database = "it is not an SQLite database: name another file";
    const std::string foreign = "it is another program's database: name another file";
    const std::string newer =
        "its format is 7 and this semad knows format 6: use the semad that wrote it or name another file";

    SECTION("a single byte") {
        write_file(path, "x");
        is_refused_for(no_database);
    }
    SECTION("a short text") {
        write_file(path, "xy");
        is_refused_for(no_database);
    }
    SECTION("a long text") {
        write_file(path, std::string(100'000, 'x'));
        is_refused_for(no_database);
    }
    SECTION("another program's tables") {
        make_database(path, "CREATE TABLE x (y)");
        is_refused_for(foreign);
    }
    SECTION("another program's tables, with a write-ahead log") {
        make_database(path, "PRAGMA journal_mode = WAL; CREATE TABLE x (y)");
        is_refused_for(foreign);
    }
    SECTION("another program's tables, so far in its write-ahead log alone") {
        make_database_in_log(path, "CREATE TABLE x (y)");
        is_refused_for(foreign);
    }
    SECTION("another program's mark and no tables yet") {
        make_database(path, "PRAGMA application_id = 1");
        is_refused_for(foreign);
    }
    SECTION("a later format") {
        make_database(path, later_format);
        is_refused_for(newer);
    }
    SECTION("a later format, so far in its write-ahead log alone") {
        make_database_in_log(path, later_format);
        is_refused_for(newer);
    }
}

TEST_CASE("a path where no database can be is refused with the reason") {
    const TempDir folder;
    const fs::path file = folder.path() / "file";
    write_file(file, "text");
    CHECK_THAT(refusal(folder.path()), has_text("it is a folder: name a file in it"));
    CHECK_THAT(refusal("/dev/null"), has_text("it is not a regular file"));
    CHECK_THAT(refusal(file / "semad.db"),
               has_text("there is no folder " + file.string() + ": make it, or name another file"));
    CHECK_THAT(refusal(folder.path() / "none" / "semad.db"),
               has_text("there is no folder " + (folder.path() / "none").string()));
    const auto not_made = [](const fs::path& path) {
        return open_sqlite_store(path, MissingFolder::make).error().message;
    };
    CHECK_THAT(not_made(file / "folder" / "semad.db"),
               has_text("cannot make the folder " + (file / "folder").string() + ": Not a directory"));
    CHECK_THAT(not_made("/proc/sema-no-such-folder/semad.db"),
               has_text("cannot make the folder /proc/sema-no-such-folder: No such file or directory: name a "
                        "file in a folder where this user may write"));
    CHECK(refusal("") == "a store needs the path of a file");
    fs::create_symlink(folder.path() / "nowhere", folder.path() / "link");
    CHECK_THAT(refusal(folder.path() / "link"), has_text("No such file or directory"));
    fs::remove(folder.path() / "link");
    CHECK(contents(folder.path()) == std::map<std::string, std::string>{{"file", "text"}});
}

TEST_CASE("a row that no server wrote makes the load fail, not the pool absent") {
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    const auto after = [&](const char* sql) {
        fs::remove(path);
        put_pool(*open_store(path), 4);
        sqlite::Database::open(path).execute(sql);
        return failure_text(open_store(path)->load(pool));
    };
    for (const char* sql : {"UPDATE leases SET lease = x'00'", "UPDATE leases SET position = -1",
                            "UPDATE pools SET count = -1", "UPDATE pools SET count = 4294967296"}) {
        CAPTURE(sql);
        CHECK_THAT(after(sql), has_text("could not read a pool") && has_text("restore it from a backup"));
    }
}

TEST_CASE("the seed of pools' ids is seen from outside while the store is open, and after a crash") {
    const TempDir folder;
    const fs::path path = folder.path() / "semad.db";
    CHECK(peek_seed(path).error().message == "cannot read " + path.string() + ": there is no such file");
    CHECK(peek_seed(folder.path()).error().message ==
          "cannot read " + folder.path().string() + ": it is not a regular file");
    ForkedChild server([&](const ForkedChild::Report& report) {
        const auto store = open_sqlite_store(path).value();
        report("open");
        store->keep_seed("secret").value();
        report("kept");
        for (Version version = 0;; ++version) {
            store->commit({change(PoolId::random()).to(1).count(1)}, std::nullopt);
            if (version == 0) report("busy");
        }
    });
    REQUIRE(server.next_line() == "open");
    REQUIRE(server.next_line() == "kept");
    REQUIRE(server.next_line() == "busy");
    for (int i = 0; i < 100; ++i)
        CHECK(peek_seed(path).value() == "secret");
    server.kill();
    CHECK(peek_seed(path).value() == "secret");
    CHECK(open_sqlite_store(path).value()->seed().value() == "secret");
}
