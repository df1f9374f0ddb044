#include "server/metrics/process.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace sema {
namespace {

std::uint64_t microseconds(const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_usec);
}

// proc(5): the fields of /proc/self/stat from the third on. The second may have spaces, and is in
// parentheses.
std::vector<std::string> stat_fields() {
    std::ifstream file("/proc/self/stat");
    std::string line;
    std::getline(file, line);
    const auto end_of_name = line.rfind(')');
    std::istringstream rest(end_of_name == line.npos ? "" : line.substr(end_of_name + 1));
    return {std::istream_iterator<std::string>(rest), std::istream_iterator<std::string>()};
}

std::optional<std::uint64_t> boot_time() {
    std::ifstream file("/proc/stat");
    for (std::string key; file >> key;) {
        std::uint64_t value = 0;
        if (key == "btime" && file >> value) return value;
        std::string rest;
        std::getline(file, rest);
    }
    return std::nullopt;
}

std::optional<std::uint64_t> open_descriptors() {
    std::error_code error;
    std::filesystem::directory_iterator descriptors("/proc/self/fd", error);
    if (error) return std::nullopt;
    std::uint64_t count = 0;
    for (; !error && descriptors != std::filesystem::directory_iterator(); descriptors.increment(error))
        ++count;
    // One is that of the folder.
    return count > 0 ? count - 1 : 0;
}

}  // namespace

void write_process_metrics(MetricsText& text) {
    using Kind = MetricsText::Kind;
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        text.begin("process_cpu_seconds_total", Kind::counter,
                   "Processor time that semad has used, its own and the system's for it.");
        text.add_seconds({}, microseconds(usage.ru_utime) + microseconds(usage.ru_stime));
    }
    if (const auto count = open_descriptors()) {
        text.begin("process_open_fds", Kind::gauge, "Open file descriptors.");
        text.add({}, *count);
    }
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        text.begin("process_max_fds", Kind::gauge, "How many file descriptors may be open.");
        text.add({}, limit.rlim_cur);
    }
    // Counted from the third field of the file, which is the first one here.
    constexpr std::size_t start_time = 19;
    constexpr std::size_t virtual_bytes = 20;
    constexpr std::size_t resident_pages = 21;
    const std::vector<std::string> fields = stat_fields();
    if (fields.size() <= resident_pages) return;
    text.begin("process_virtual_memory_bytes", Kind::gauge, "Address space in bytes.");
    text.add({}, std::stoull(fields[virtual_bytes]));
    text.begin("process_resident_memory_bytes", Kind::gauge, "Memory in use in bytes.");
    text.add({}, std::stoull(fields[resident_pages]) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
    if (const auto booted = boot_time()) {
        const auto ticks = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
        text.begin("process_start_time_seconds", Kind::gauge, "When semad was started, in Unix time.");
        text.add_seconds({}, *booted * 1'000'000 + std::stoull(fields[start_time]) * 1'000'000 / ticks);
    }
}

}  // namespace sema
