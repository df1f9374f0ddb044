#include "tests/e2e/semad_config.hpp"

#include "tests/support/eventually.hpp"

#include <csignal>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace sema::test {
namespace {

std::size_t occurrences(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + part.size()))
        ++count;
    return count;
}

}  // namespace

ConfigFile::ConfigFile(const std::string& text) {
    write(text);
    std::filesystem::permissions(path(), std::filesystem::perms(0600));
}

void ConfigFile::write(const std::string& text) const {
    std::ofstream(path()) << text;
}

std::vector<std::string> ConfigFile::flags(std::vector<std::string> more) const {
    more.insert(more.begin(), {"--config", path()});
    return more;
}

std::map<std::string, std::string> declared_ids(const std::vector<std::string>& options) {
    std::vector<std::string> command = {SEMAD, "pools"};
    command.insert(command.end(), options.begin(), options.end());
    const Finished shown = run_program(command);
    if (shown.status != 0) throw std::runtime_error("semad pools: " + shown.err);
    std::map<std::string, std::string> ids;
    std::istringstream lines(shown.out);
    std::string line;
    for (std::getline(lines, line); std::getline(lines, line);) {
        std::istringstream words(line);
        std::string id;
        std::string count;
        std::string name;
        words >> id >> count >> name;
        ids[name] = id;
    }
    return ids;
}

void reload(RunningServer& server, const std::string& outcome) {
    const std::size_t before = occurrences(server.log(), outcome);
    server.program().signal(SIGHUP);
    if (!eventually([&] { return occurrences(server.log(), outcome) > before; }))
        throw std::runtime_error("semad did not log '" + outcome + "' but: " + server.log());
}

}  // namespace sema::test
