#include "tests/e2e/semactl.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace sema::test {

Semactl::Semactl(std::string server_url) : server_(std::move(server_url)) {
    const auto config = folder_.path() / "semactl";
    std::filesystem::create_directory(config);
    std::ofstream(config / "config.toml") << "[pools]\nvsim = \"" << pool_.str() << "\"\n";
    std::filesystem::permissions(config / "config.toml", std::filesystem::perms(0600));
}

std::vector<std::string> Semactl::command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), SEMACTL);
    return arguments;
}

ProgramOptions Semactl::options(ProgramOptions more) const {
    const std::map<std::string, std::string> ours = {
        {"SEMACTL_SERVER", server_}, {"XDG_CONFIG_HOME", folder_.path().string()},
        {"SEMACTL_CONFIG", ""},      {"SEMACTL_POOL", ""},
        {"LC_ALL", "C.UTF-8"},       {"http_proxy", "http://127.0.0.1:9"}};
    more.environment.insert(ours.begin(), ours.end());
    return more;
}

Finished Semactl::operator()(std::vector<std::string> arguments, ProgramOptions more) const {
    return run_program(command(std::move(arguments)), options(std::move(more)));
}

int Semactl::in_use() const {
    return state("in_use");
}

int Semactl::count() const {
    return state("count");
}

int Semactl::state(const std::string& key) const {
    const Finished answer = (*this)({"--output", "json", "inspect", "vsim"});
    return answer.status == 0 ? nlohmann::json::parse(answer.out).at(key).get<int>() : -1;
}

}  // namespace sema::test
