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
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

namespace sema {
namespace {

std::optional<pid_t> pid_of(std::string_view name) {
    pid_t pid = 0;
    const auto [end, status] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (status != std::errc() || end != name.data() + name.size()) return std::nullopt;
    return pid;
}

struct Look {
    std::optional<Process> process{};
    // There may be one, but it cannot be seen.
    bool is_denied = false;
};

Look look_at(pid_t pid, const std::string& proc) {
    // Of all the machine's processes, in the moment in which a tree must be dead: a stream costs several
    // times as much.
    const int file = open((proc + "/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return {std::nullopt, errno != ENOENT && errno != ESRCH};
    std::array<char, 1024> bytes{};
    const ssize_t size = read(file, bytes.data(), bytes.size());
    ::close(file);
    const std::string_view stat(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    // proc(5): pid (name) state ppid ..., where the name may hold blanks and parentheses itself; the
    // starting time is the 22nd field.
    const auto name_begins = stat.find('(');
    const auto name_ends = stat.rfind(')');
    if (name_begins == stat.npos || name_ends == stat.npos) return {};
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
    if (state.size() != 1 || !number_in(next_field(), process.parent)) return {};
    process.state = state.front();
    for (int field = 5; field < 22; ++field)
        next_field();
    if (!number_in(next_field(), process.started)) return {};
    return {std::move(process)};
}

Descendants all_processes(const std::string& proc) {
    Descendants all;
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(proc.c_str()), closedir);
    // Where the system hides other users' processes, it hides this one too.
    bool first_is_shown = false;
    errno = 0;
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        const auto pid = pid_of(entry->d_name);
        if (!pid) continue;
        first_is_shown = first_is_shown || *pid == 1;
        Look look = look_at(*pid, proc);
        if (look.process) all.found.push_back(std::move(*look.process));
        all.complete = all.complete && !look.is_denied;
        errno = 0;
    }
    all.complete = all.complete && folder && errno == 0 && first_is_shown;
    return all;
}

}  // namespace

std::optional<Process> find_process(pid_t pid, const std::string& proc) {
    return look_at(pid, proc).process;
}

std::optional<std::string> why_not_shown(const std::string& proc) {
    std::error_code error;
    const auto self = std::filesystem::read_symlink(proc + "/self", error).string();
    std::ifstream status(proc + "/self/status");
    if (error && !std::filesystem::exists(proc + "/stat")) return "/proc is not mounted";
    // One number for each pid namespace, from that of /proc down to our own. Kernels before 4.1 do not say.
    std::string line;
    while (std::getline(status, line) && line.rfind("NSpid:", 0) != 0) {
    }
    const bool is_ours = self == std::to_string(getpid()) && line.find('\t') == line.rfind('\t');
    if (!is_ours) return "/proc is that of another pid namespace";
    return std::nullopt;
}

Descendants descendants(pid_t root, const std::vector<Process>& without, const std::string& proc) {
    Descendants tree;
    const auto [all, complete] = all_processes(proc);
    tree.complete = complete;
    std::set<std::pair<pid_t, std::uint64_t>> excluded;
    for (const Process& process : without)
        excluded.emplace(process.pid, process.started);
    std::set<pid_t> inside = {root};
    // Parents and children come in any order, so rounds are made until one finds nothing more.
    for (bool more = true; more;) {
        more = false;
        for (const Process& process : all) {
            if (inside.count(process.parent) == 0) continue;
            if (excluded.count({process.pid, process.started}) != 0) continue;
            if (!inside.insert(process.pid).second) continue;
            more = true;
            tree.found.push_back(process);
        }
    }
    return tree;
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
    if (fd < 0 && errno == ESRCH) return true;
    // The descriptor refers to the process that has the pid now: if that still is ours, it stays so.
    const auto now = find_process(process.pid);
    const bool same = now && now->started == process.started;
    const auto done = [](long result) { return result == 0 || errno == ESRCH; };
    // Kernels before 5.3 and many containers do not have the calls for it. A pid is used again only once all
    // others were, and so hardly in the moment that has passed since the look.
    const bool sent = !same || (fd >= 0 && done(syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0))) ||
                      done(kill(process.pid, signal));
    if (fd >= 0) close(fd);
    return sent;
}

}  // namespace sema
