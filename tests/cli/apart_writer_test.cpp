#include "cli/apart_writer.hpp"

#include "cli/console.hpp"
#include "tests/cli/captured_stderr.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

struct File {
    ~File() { close(fd); }
    std::string text() const {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    TempDir folder;
    std::string path = folder.path() / "log";
    int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
};

bool has_children() {
    return waitpid(-1, nullptr, WNOHANG) >= 0;
}

}  // namespace

TEST_CASE("a file is written to by another process, and pipes and terminals are not") {
    const File file;
    CHECK(ApartWriter::is_needed_for(file.fd));
    CHECK_FALSE(ApartWriter::is_needed_for(-1));
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    CHECK_FALSE(ApartWriter::is_needed_for(null));
    CHECK_FALSE(ApartWriter::is_needed_for(ends[1]));
    for (const int fd : {null, ends[0], ends[1]})
        close(fd);
}

TEST_CASE("all that is written apart is in the file in its order, and no process is left") {
    const File file;
    std::string all;
    {
        ApartWriter writer(file.fd);
        CHECK(writer.pid() == -1);
        for (int line = 0; line < 1000; ++line) {
            const std::string text = "line " + std::to_string(line) + "\n";
            // All of it, or nothing where there is no room.
            REQUIRE(eventually([&] { return writer.write(text) == text.size(); }));
            all += text;
        }
        CHECK(writer.pid() > 0);
    }
    CHECK(eventually([&] { return file.text() == all; }));
    CHECK(eventually([] { return !has_children(); }));
}

// A process that is stopped does as little as one that waits for a disk.
TEST_CASE("a file that takes nothing holds up nobody for long, and gets all once it does") {
    const File file;
    std::string all = "first\n";
    {
        ApartWriter writer(file.fd);
        REQUIRE(writer.write(all) == all.size());
        REQUIRE(eventually([&] { return file.text() == all; }));
        halt(writer.pid());
        const auto begin = std::chrono::steady_clock::now();
        std::size_t taken = 0;
        const std::string line(100, 'x');
        // More than there is room for.
        for (int round = 0; round < 50'000; ++round) {
            const std::size_t part = writer.write(line);
            all += line.substr(0, part);
            taken += part;
        }
        CHECK(taken < 50'000 * line.size());
        CHECK(std::chrono::steady_clock::now() - begin < 10s);
        CHECK(file.text() == "first\n");
        REQUIRE(kill(writer.pid(), SIGCONT) == 0);
        CHECK(eventually([&] { return file.text().size() == all.size(); }));
    }
    CHECK(file.text() == all);
}

TEST_CASE("what a file has not taken by the end is written later") {
    const File file;
    pid_t process = -1;
    {
        ApartWriter writer(file.fd);
        REQUIRE(writer.write("first\n") == 6);
        process = writer.pid();
        REQUIRE(eventually([&] { return file.text() == "first\n"; }));
        halt(process);
        REQUIRE(writer.write(std::string(5000, 'x') + "\n") == 5001);
        REQUIRE(writer.write("last\n") == 5);
    }
    CHECK(file.text() == "first\n");
    REQUIRE(kill(process, SIGCONT) == 0);
    CHECK(eventually([&] { return file.text() == "first\n" + std::string(5000, 'x') + "\nlast\n"; }));
    CHECK(waitpid(process, nullptr, 0) == process);
}

TEST_CASE("a file that takes nothing is waited for at the end no longer than there is time", "[alone]") {
    const File file;
    pid_t process = -1;
    const auto begin = std::chrono::steady_clock::now();
    {
        ApartWriter writer(file.fd);
        REQUIRE(writer.write("first\n") == 6);
        process = writer.pid();
        halt(process);
        REQUIRE(writer.write("last\n") == 5);
        writer.wait_at_end(100ms);
    }
    CHECK(std::chrono::steady_clock::now() - begin < 450ms);
    REQUIRE(kill(process, SIGCONT) == 0);
    CHECK(waitpid(process, nullptr, 0) == process);
    CHECK(file.text() == "first\nlast\n");
}

TEST_CASE("a process that writes apart and is killed is started anew") {
    const File file;
    ApartWriter writer(file.fd);
    REQUIRE(writer.write("one\n") == 4);
    const pid_t first = writer.pid();
    REQUIRE(eventually([&] { return file.text() == "one\n"; }));
    REQUIRE(kill(first, SIGKILL) == 0);
    REQUIRE(waitpid(first, nullptr, 0) == first);
    CHECK(eventually([&] { return writer.write("two\n") == 4; }));
    CHECK(eventually([&] { return file.text() == "one\ntwo\n"; }));
    CHECK(writer.pid() != first);
}

TEST_CASE("what is said while something else is to be done first is written after that, in its order") {
    CapturedStderr captured;
    const auto says = [&](const std::string& text) {
        std::string all;
        return eventually([&] {
            all += captured.take();
            return all == text;
        });
    };
    Console console(Verbosity::normal, Output::text);
    console.write_apart();
    console.note("before");
    CHECK(says("semactl: before\n"));
    {
        const Console::Pause outer(console);
        {
            const Console::Pause inner(console);
            console.note("one");
        }
        console.error("two");
        CHECK(captured.take().empty());
    }
    CHECK(says("semactl: one\nsemactl: two\n"));
    REQUIRE(console.writer() != nullptr);
    CHECK(console.writer()->pid() > 0);
}
