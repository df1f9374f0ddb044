#include "cli/run/process_tree.hpp"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <set>
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

Look look_at(pid_t pid, const ProcFolder& proc) {
    // Of all the machine's processes, in the moment in which a tree must be dead: a stream costs several
    // times as much.
    const int file = proc.open(std::to_string(pid) + "/stat");
    if (file < 0) return {std::nullopt, errno != ENOENT && errno != ESRCH};
    std::array<char, 1024> bytes{};
    const ssize_t size = read(file, bytes.data(), bytes.size());
    ::close(file);
    const std::string_view stat(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    // proc(5): pid (name) state ppid ..., where the name may hold blanks and parentheses itself; the
    // 20th field is the number of threads, the 22nd the starting time.
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
    for (int field = 5; field < 20; ++field)
        next_field();
    const std::string_view threads = next_field();
    next_field();
    if (!number_in(threads, process.threads) || !number_in(next_field(), process.started)) return {};
    return {std::move(process)};
}

Descendants all_processes(const ProcFolder& proc) {
    Descendants all;
    const int fd = proc.open(".");
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(fd >= 0 ? fdopendir(fd) : nullptr, closedir);
    if (!folder && fd >= 0) close(fd);
    // First the pids alone: processes that begin others all the time would stay ahead of looks at each.
    std::vector<pid_t> pids;
    errno = 0;
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        if (const auto pid = pid_of(entry->d_name)) pids.push_back(*pid);
    }
    // Where the system hides other users' processes, it hides the first one too.
    all.complete = folder && errno == 0 && std::find(pids.begin(), pids.end(), 1) != pids.end();
    for (const pid_t pid : pids) {
        Look look = look_at(pid, proc);
        if (look.process) all.found.push_back(std::move(*look.process));
        all.complete = all.complete && !look.is_denied;
    }
    return all;
}

using Known = std::set<std::pair<pid_t, std::uint64_t>>;

Known known(const std::vector<Process>& processes) {
    Known names;
    for (const Process& process : processes)
        names.emplace(process.pid, process.started);
    return names;
}

// Those of `all` that descend from processes `inside`, except for `excluded` and their descendants.
std::vector<Process> below(std::set<pid_t> inside, const std::vector<Process>& all, const Known& excluded) {
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

}  // namespace

std::optional<Process> find_process(pid_t pid, const ProcFolder& proc) {
    return look_at(pid, proc).process;
}

std::optional<std::uint64_t> pending_signals(pid_t pid, const ProcFolder& proc) {
    const std::string status = proc.content_of(std::to_string(pid) + "/status");
    const std::string key = "\nShdPnd:";
    const auto at = status.find(key);
    if (at == std::string::npos) return std::nullopt;
    return std::strtoull(status.c_str() + at + key.size(), nullptr, 16);
}

Descendants descendants(pid_t root, const std::vector<Process>& without, const ProcFolder& proc) {
    const auto [all, complete] = all_processes(proc);
    return {below({root}, all, known(without)), complete};
}

void follow(std::vector<Process>& family, const ProcFolder& proc) {
    const auto [all, complete] = all_processes(proc);
    const Known before = known(family);
    std::set<pid_t> inside;
    // One that is not shown may be there nonetheless.
    if (complete) family.clear();
    for (const Process& process : all) {
        if (before.count({process.pid, process.started}) == 0) continue;
        inside.insert(process.pid);
        if (complete) family.push_back(process);
    }
    for (Process& process : below(std::move(inside), all, {}))
        family.push_back(std::move(process));
}

OwnChildren::OwnChildren(const ProcFolder& proc) {
    const std::string self = std::to_string(getpid());
    file_ = proc.open(self + "/task/" + self + "/children");
}

OwnChildren::~OwnChildren() {
    if (file_ >= 0) ::close(file_);
}

void OwnChildren::look() {
    const ssize_t size = pread(file_, text_.data(), text_.size(), 0);
    rest_ = std::string_view(text_.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
}

pid_t OwnChildren::next() {
    // A blank is behind each, or it is not whole.
    const auto end = rest_.find(' ');
    pid_t pid = 0;
    if (end == rest_.npos) return 0;
    std::from_chars(rest_.data(), rest_.data() + end, pid);
    rest_.remove_prefix(end + 1);
    return pid;
}

bool is_descendant(pid_t pid, pid_t root, const ProcFolder& proc) {
    // The bound only matters where processes come and go while we look.
    for (int depth = 0; depth < 1000 && pid > 1; ++depth) {
        const auto process = find_process(pid, proc);
        if (!process) return false;
        if (process->parent == root) return true;
        pid = process->parent;
    }
    return false;
}

bool send_signal(const Process& process, int signal, const ProcFolder& proc) {
    // Through syscall(), since glibc 2.36 declares its functions for these in a way that C++ can't link.
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
    if (fd < 0 && errno == ESRCH) return true;
    // The descriptor refers to the process that has the pid now: if that still is ours, it stays so.
    const auto now = find_process(process.pid, proc);
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
