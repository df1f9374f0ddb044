#include "tests/support/engines.hpp"

#include <unistd.h>

#include <cstdlib>
#include <sstream>

namespace sema::test {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> find_in(const std::string& path, const std::string& name) {
    std::istringstream folders(path);
    for (std::string folder; std::getline(folders, folder, ':');) {
        const fs::path program = fs::path(folder) / name;
        if (::access(program.c_str(), X_OK) == 0) return program;
    }
    return std::nullopt;
}

}  // namespace

std::optional<fs::path> find_engine(const std::string& engine) {
    const char* variable = std::getenv("PATH");
    // Where script/bootstrap unpacks what the distribution has no fitting package for.
    const std::string path = std::string(variable ? variable : "/usr/bin") +
                             ":/usr/sbin:/usr/local/sbin:" + TOOLS_FOLDER "/" + engine + "/usr/bin";
    for (const char* suffix : {"-server", "-check-rdb"}) {
        if (auto program = find_in(path, engine + suffix)) return program;
    }
    return std::nullopt;
}

std::optional<fs::path> find_postgresql() {
    std::error_code none;
    std::optional<fs::path> found;
    for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", none)) {
        const fs::path folder = version.path() / "bin";
        if (::access((folder / "postgres").c_str(), X_OK) == 0 && (!found || *found < folder)) found = folder;
    }
    return found;
}

std::vector<std::string> engines() {
    std::vector<std::string> found;
    for (const char* engine : {"redis", "valkey"}) {
        if (find_engine(engine)) found.emplace_back(engine);
    }
    return found;
}

}  // namespace sema::test
