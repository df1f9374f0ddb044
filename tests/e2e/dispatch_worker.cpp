// A command of a dispatch file, for tests of many tasks. It fails, hangs and is killed at random, and writes
// down what must not happen. The folder that it runs in has:
//
//   queue/   a file for each task that waits or runs; done/ those that are done
//   claims/  a file for each task and for each slot, which is locked for as long as something works on it
//   wrong    what must not happen
//
//   dispatch_worker poll 0|1          of the tasks with an even number, or an odd one
//   dispatch_worker run ID            the task
//   dispatch_worker start ID          leaves a process behind that is the task
//   dispatch_worker kill ID           kills that, when it timed out

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace {

int chance() {
    static std::random_device random;
    return static_cast<int>(random() % 100);
}

void note_wrong(const std::string& what) {
    std::ofstream("wrong", std::ios::app) << what << std::endl;
}

// Locked until the process ends, and those that it leaves behind.
void claim(const std::string& name) {
    const int fd = open(("claims/" + name).c_str(), O_RDWR | O_CREAT, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) note_wrong(name + " is used twice");
}

int poll_queue(int parity) {
    if (chance() < 3) return 1;
    if (chance() < 1) sleep(1000);
    std::vector<std::string> tasks;
    DIR* const folder = opendir("queue");
    while (const dirent* entry = readdir(folder)) {
        const std::string name = entry->d_name;
        if (name[0] != '.' && (name.back() - '0') % 2 == parity) tasks.push_back(name);
    }
    closedir(folder);
    if (!tasks.empty()) std::puts(tasks[std::random_device{}() % tasks.size()].c_str());
    return 0;
}

void work(const std::string& id) {
    const int luck = chance();
    if (luck < 1) sleep(1000);
    if (luck < 4) raise(SIGKILL);
    if (luck < 8) _exit(1);
    usleep(static_cast<useconds_t>(1000 * (chance() % 40)));
    // Done once, whoever is asked a second time.
    rename(("queue/" + id).c_str(), ("done/" + id).c_str());
}

int run(const std::string& id) {
    claim(id);
    claim(std::string("slot-") + std::getenv("SEMA_POSITION"));
    work(id);
    return 0;
}

int start(const std::string& id, const char* semactl, const char* file) {
    if (chance() < 4) return 1;
    const pid_t child = fork();
    if (child != 0) return child < 0 ? 1 : 0;
    setsid();
    std::ofstream("claims/pid-" + id) << getpid() << std::endl;
    claim(id);
    const int slot =
        open((std::string("claims/slot-") + std::getenv("SEMA_POSITION")).c_str(), O_RDWR | O_CREAT, 0600);
    if (flock(slot, LOCK_EX | LOCK_NB) != 0) note_wrong("a slot is used twice by " + id);
    work(id);
    // The locks end with this process, of which nothing is left once the slot is returned.
    for (int fd = 3; fd < 64; ++fd)
        close(fd);
    execl(semactl, "semactl", "-q", "dispatch", "stop", id.c_str(), file, nullptr);
    _exit(127);
}

int kill_started(const std::string& id) {
    pid_t pid = 0;
    std::ifstream("claims/pid-" + id) >> pid;
    if (pid > 0) kill(pid, SIGKILL);
    // Its locks go a moment later.
    const int claimed = open(("claims/" + id).c_str(), O_RDWR | O_CREAT, 0600);
    alarm(2);
    flock(claimed, LOCK_EX);
    return chance() < 5 ? 1 : 0;
}

}  // namespace

int main(int count, char** words) {
    const std::string what = count > 1 ? words[1] : "";
    if (what == "poll" && count > 2) return poll_queue(words[2][0] - '0');
    if (what == "run" && count > 2) return run(words[2]);
    if (what == "start" && count > 4) return start(words[2], words[3], words[4]);
    if (what == "kill" && count > 2) return kill_started(words[2]);
    return 2;
}
