#include "cli/run/process_tree.hpp"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace sema {
namespace {

std::optional<pid_t> pid_of(std::string_view name) {
    pid_t pid = 0;
    const auto [end, status] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (status != std::errc() || end != name.data() + name.size()) return std::nullopt;
    return pid;
}

std::vector<Process> all_processes(const std::string& proc) {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(proc.c_str()), closedir);
    std::vector<Process> processes;
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        const auto pid = pid_of(entry->d_name);
        if (!pid) continue;
        if (auto process = find_process(*pid, proc)) processes.push_back(std::move(*process));
    }
    return processes;
}

}  // namespace

std::optional<Process> find_process(pid_t pid, const std::string& proc) {
    std::ifstream file(proc + "/" + std::to_string(pid) + "/stat");
    // A process that ends between open and read makes the read fail: getline() takes that for the end of
    // the file, where reading the buffer itself would throw.
    std::string stat;
    std::getline(file, stat, '\0');
    // proc(5): pid (name) state ppid ..., where the name may hold blanks and parentheses itself; the
    // starting time is the 22nd field.
    const auto open = stat.find('(');
    const auto close = stat.rfind(')');
    if (open == std::string::npos || close == std::string::npos) return std::nullopt;
    Process process;
    process.pid = pid;
    process.name = stat.substr(open + 1, close - open - 1);
    std::istringstream fields(stat.substr(close + 1));
    fields >> process.state >> process.parent;
    std::string skipped;
    for (int field = 5; field < 22; ++field)
        fields >> skipped;
    fields >> process.started;
    if (!fields) return std::nullopt;
    return process;
}

std::vector<Process> descendants(pid_t root, const std::vector<Process>& without, const std::string& proc) {
    const std::vector<Process> all = all_processes(proc);
    std::set<std::pair<pid_t, std::uint64_t>> excluded;
    for (const Process& process : without)
        excluded.emplace(process.pid, process.started);
    std::set<pid_t> inside = {root};
    std::vector<Process> found;
    // Parents and children come in any order, so rounds are made until one finds nothing more.
    for (bool more = true; more;) {
        more = false;
        for (const Process& process : all) {
            if (inside.count(process.parent) == 0) continue;
            if (excluded.count({process.pid, process.started}) != 0) continue;
            if (!inside.insert(process.pid).second) continue;
            more = true;
            found.push_back(process);
        }
    }
    return found;
}

bool is_descendant(pid_t pid, pid_t root, const std::string& proc) {
    // The bound only matters where processes come and go while we look.
    for (int depth = 0; depth < 1000 && pid > 1; ++depth) {
        const auto process = find_process(pid, proc);
        if (!process) return false;
        if (process->parent == root) return true;
        pid = process->parent;
    }
    return false;
}

bool send_signal(const Process& process, int signal) {
    // Through syscall(), since glibc 2.36 declares its functions for these in a way that C++ can't link.
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
    if (fd < 0) return errno == ESRCH;
    // The descriptor holds on to whoever has the pid now: if that still is our process, it stays so.
    const auto now = find_process(process.pid);
    const bool same = now && now->started == process.started;
    const bool sent = !same || syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0) == 0 || errno == ESRCH;
    close(fd);
    return sent;
}

}  // namespace sema
