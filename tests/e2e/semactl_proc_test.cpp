// A command may mount something over /proc, or take it away. semactl goes on with the one that it started
// with: it finds all of the command's processes there, and no others.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/one_slot.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

// The address sanitizer needs /proc itself.
#if !SANITIZED

using namespace sema::test;

namespace {

bool may(const Words& command) {
    if (run_program(command).status == 0) return true;
    WARN("this process may not make namespaces, or not mount in them");
    return false;
}

// What a command does to /proc before it runs the script that is its argument.
const Words changes = {
    "mount -t tmpfs none /proc; exec sh -c \"$1\"",
    "umount -l /proc; exec sh -c \"$1\"",
    "exec unshare -p -f sh -c 'mount -t proc none /proc; exec sh -c \"$1\"' sh \"$1\"",
};

bool may_change_proc() {
    return may({"unshare", "-m", "sh", "-c",
                "umount -l /proc && mount -t tmpfs none /proc && unshare -p -f mount -t proc none /proc"});
}

// semactl as another user, started with a child or without, in a script of that user's; some processes are
// hidden from it once the command has made the file `ready`. Then root's script `then` follows.
Finished run_hidden(const OneSlot& world, const Words& arguments, const std::string& then,
                    const std::string& before = "sleep 600 <&- >&- 2>&- & ") {
    namespace fs = std::filesystem;
    const fs::path folder = world.semactl.folder();
    fs::copy_file(SEMACTL, folder / "copy");
    fs::permissions(folder / "copy", fs::perms(0755));
    fs::permissions(folder, fs::perms(0777));
    const std::string user = std::to_string(1'000'000 + getpid());
    const std::string script =
        "setpriv --reuid=" + user + " --regid=" + user + " --clear-groups sh -c '" + before +
        "exec \"$@\"' sh \"$@\" & semactl=$!; "
        "while [ ! -e ready ]; do sleep 0.05; done; mount -o remount,hidepid=2 /proc; touch hidden; " +
        then + "wait $semactl";
    ProgramOptions options = world.here();
    options.environment["SEMACTL_CONFIG"] = "";
    return run_program(Words{"unshare", "-p", "-f", "--mount-proc", "sh", "-c", script, "sh", "./copy", "run",
                             world.semactl.pool().str()} +
                           arguments,
                       options);
}

bool may_hide() {
    return may({"unshare", "-p", "-f", "--mount-proc", "sh", "-c",
                "mount -o remount,hidepid=2 /proc && setpriv --reuid=1 --regid=1 --clear-groups true"});
}

}  // namespace

TEST_CASE("whatever a command does to /proc, all of its processes are stopped") {
    if (!may_change_proc()) return;
    const OneSlot world;
    const std::string change = GENERATE(from_range(changes));
    // With one that was there before, semactl cannot tell by its children alone that all is gone.
    const std::string before = GENERATE("", "sleep 600 <&- >&- 2>&- & echo stranger $!; ");
    CAPTURE(change, before);
    const std::string script =
        "exec 9>held; flock 9; (trap '' TERM; exec setsid sleep 600 <&- >&- 2>&-) & "
        "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    Program run(Words{"unshare", "-m", "sh", "-c", before + "exec \"$@\"", "sh"} +
                    Semactl::command(
                        {"run", "vsim", "--kill-after", "100ms", "--", "sh", "-c", change, "sh", script}),
                world.here());
    REQUIRE(run.prints("ready"));
    run.signal(SIGTERM);
    run.wait();
    CAPTURE(run.err());
    // Held by whatever is left.
    CHECK(run_program({"flock", "--nonblock", "held", "true"}, world.here()).status == 0);
    CHECK(world.semactl.in_use() == 0);
    if (before.empty()) return;
    const pid_t stranger = std::stoi(run.out().substr(run.out().find("stranger ") + 9));
    CHECK(kill(stranger, SIGKILL) == 0);
}

TEST_CASE("a process that is semactl's child in a /proc of the command's making is left alone") {
    if (!may_change_proc()) return;
    const OneSlot world;
    Program innocent({"sleep", "600"});
    const std::string script =
        "mount -t tmpfs none /proc; mkdir -p /proc/1 /proc/$INNOCENT; "
        "echo \"1 (init) S 0 $(seq -s ' ' 5 24)\" >/proc/1/stat; "
        "echo \"$INNOCENT (sleep) S $PPID $(seq -s ' ' 5 24)\" >/proc/$INNOCENT/stat; "
        "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    ProgramOptions options = world.here();
    options.environment["INNOCENT"] = std::to_string(innocent.pid());
    Program run(Words{"unshare", "-m"} +
                    Semactl::command({"run", "vsim", "--kill-after", "100ms", "--", "sh", "-c", script}),
                options);
    REQUIRE(run.prints("ready"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGKILL);
    CHECK_FALSE(innocent.ended());
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a process with something mounted over its folder in /proc is not taken for one that is gone") {
    if (!may_change_proc()) return;
    open_how how{};
    how.resolve = RESOLVE_NO_XDEV;
    if (syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how) < 0) {
        WARN("this system does not tell what is mounted");
        return;
    }
    const OneSlot world;
    const std::string script =
        "sleep 600 <&- >&- 2>&- & mount -t tmpfs none /proc/$!; "
        "trap 'exit 3' TERM; echo ready $!; while :; do sleep 0.05; done";
    Program run(Words{"unshare", "-m", "sh", "-c", "sleep 600 <&- >&- 2>&- & exec \"$@\"", "sh"} +
                    Semactl::command({"run", "vsim", "--kill-after", "2s", "--", "sh", "-c", script}),
                world.here());
    REQUIRE(run.prints("ready "));
    const pid_t hidden = std::stoi(run.out().substr(6));
    run.signal(SIGTERM);
    CHECK(run.wait() == 3);
    // No folder shows it, but it is semactl's child by then.
    CHECK_FALSE(sema::find_process(hidden, sema::ProcFolder()));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a tree that cannot be seen any more is not taken for one that is gone") {
    if (!may_hide()) return;
    const OneSlot world;
    const std::string script = "trap 'exit 3' TERM; touch ready; while :; do sleep 0.05; done";
    const Finished run =
        run_hidden(world, {"--kill-after", "2s", "--", "sh", "-c", script}, "kill -TERM $semactl; ");
    CHECK(run.status == 3);
    CHECK_THAT(run.err, has_text("cannot kill processes that /proc does not show: the slot is not returned"));
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("where /proc hides others' processes, a slot that is held for a tree is free once that has ended") {
    if (!may_hide()) return;
    const OneSlot world;
    const std::string script =
        "touch ready; while [ ! -e hidden ]; do sleep 0.05; done; sleep 1 <&- >&- 2>&- & exit 7";
    // What it says of that has a process of its own write it to a file.
    const Finished run =
        run_hidden(world, {"--hold-tree", "--teardown", "echo torn", "--", "sh", "-c", script}, "", "");
    CHECK_THAT(run.err, has_text("the slot is held until these end too: "));
    CHECK(run.out == "torn\n");
    CHECK(run.status == 7);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a command that leaves something behind and cannot be seen has its teardown and its status") {
    if (!may_hide()) return;
    const OneSlot world;
    const std::string script =
        "touch ready; while [ ! -e hidden ]; do sleep 0.05; done; sleep 600 <&- >&- 2>&- & exit 7";
    const Finished run = run_hidden(world, {"--teardown", "echo torn", "--", "sh", "-c", script}, "");
    CHECK(run.status == 7);
    CHECK(run.out == "torn\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a setuid program that alone is hidden is not taken for one that is gone") {
    if (!may_hide()) return;
    namespace fs = std::filesystem;
    const OneSlot world;
    const fs::path folder = world.semactl.folder();
    const auto copy = [&](const fs::path& program, const char* name, int mode) {
        fs::copy_file(fs::canonical(program), folder / name);
        REQUIRE(chmod((folder / name).c_str(), static_cast<mode_t>(mode)) == 0);
    };
    fs::permissions(folder, fs::perms(0777));
    copy("/usr/bin/id", "id", 04755);
    copy("/usr/bin/setpriv", "as-root", 04755);
    copy(SEMACTL, "copy", 0755);
    const std::string user = std::to_string(1'000'000 + getpid());
    const Words as_user = {"setpriv", "--reuid=" + user, "--regid=" + user, "--clear-groups"};
    if (run_program(as_user + Words{"./id", "-u"}, world.here()).out != "0\n") {
        WARN("no setuid program has an effect here");
        return;
    }
    // With root as its real user, too: else semactl's user may kill it, and does.
    const std::string command = GENERATE("exec ./as-root --reuid=0 sleep 600 <&- >&- 2>&-",
                                         "./as-root --reuid=0 sleep 600 <&- >&- 2>&- & wait");
    CAPTURE(command);
    ProgramOptions options = world.here();
    options.environment["SEMACTL_CONFIG"] = "";
    // The first process of all is semactl's user's, and so is shown.
    const Finished run = run_program(
        Words{"unshare", "-p", "-f", "--mount-proc", "sh", "-c",
              "mount -o remount,hidepid=2 /proc; exec \"$@\"", "sh"} +
            as_user +
            Words{"sh", "-c", "\"$@\"; exit $?", "sh", "./copy", "run", world.semactl.pool().str(), "--ttl",
                  "2", "--no-keepalive", "--", "sh", "-c", command},
        options);
    CHECK(run.status == 79);
    CHECK_THAT(run.err, has_text("cannot kill processes that /proc does not show"));
}

#endif
