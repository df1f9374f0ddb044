#include "cli/run/process_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <set>
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
    // Of all the machine's processes, in the moment in which a tree must be dead: a stream costs several
    // times as much.
    const int file = open((proc + "/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return std::nullopt;
    std::array<char, 1024> bytes{};
    const ssize_t size = read(file, bytes.data(), bytes.size());
    ::close(file);
    const std::string_view stat(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    // proc(5): pid (name) state ppid ..., where the name may hold blanks and parentheses itself; the
    // starting time is the 22nd field.
    const auto name_begins = stat.find('(');
    const auto name_ends = stat.rfind(')');
    if (name_begins == stat.npos || name_ends == stat.npos) return std::nullopt;
    std::string_view rest = stat.substr(name_ends + 1);
    const auto next_field = [&rest] {
        rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
        const std::string_view field = rest.substr(0, rest.find(' '));
        rest.remove_prefix(field.size());
        return field;
    };
    const auto number_in = [](std::string_view field, auto& number) {
        return std::from_chars(field.data(), field.data() + field.size(), number).ec == std::errc();
    };
    Process process;
    process.pid = pid;
    process.name = stat.substr(name_begins + 1, name_ends - name_begins - 1);
    const std::string_view state = next_field();
    if (state.size() != 1 || !number_in(next_field(), process.parent)) return std::nullopt;
    process.state = state.front();
    for (int field = 5; field < 22; ++field)
        next_field();
    if (!number_in(next_field(), process.started)) return std::nullopt;
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
