#include "cli/run/identity.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

namespace sema {
namespace {

// As semad has them.
constexpr std::size_t longest_name = 256;
constexpr std::size_t longest_url = 2048;

struct CiSystem {
    const char* url;
    /// The job's name is the first of these that is set, and its number follows.
    std::array<const char*, 2> names;
    const char* number;
};

// By the variables that each sets, and no other does. The last one is Jenkins'.
constexpr std::array<CiSystem, 5> ci_systems = {{
    {"CI_JOB_URL", {"CI_JOB_NAME", "CI_PROJECT_PATH"}, "CI_JOB_ID"},
    {"BUILDKITE_BUILD_URL", {"BUILDKITE_LABEL", "BUILDKITE_PIPELINE_SLUG"}, "BUILDKITE_BUILD_NUMBER"},
    {"CIRCLE_BUILD_URL", {"CIRCLE_JOB", "CIRCLE_PROJECT_REPONAME"}, "CIRCLE_BUILD_NUM"},
    {"TRAVIS_JOB_WEB_URL", {"TRAVIS_JOB_NAME", "TRAVIS_REPO_SLUG"}, "TRAVIS_JOB_NUMBER"},
    {"BUILD_URL", {"JOB_NAME", "BUILD_TAG"}, "BUILD_NUMBER"},
}};

std::string user_name() {
    const passwd* const user = getpwuid(geteuid());
    return user != nullptr ? user->pw_name : std::to_string(geteuid());
}

std::string host_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

// No more bytes than there may be characters, and no half of one (of UTF-8).
std::string cut(std::string text, std::size_t longest) {
    if (text.size() <= longest) return text;
    text.resize(longest);
    while (!text.empty() && (text.back() & 0xC0) == 0x80)
        text.pop_back();
    if (!text.empty() && (text.back() & 0x80) != 0) text.pop_back();
    return text;
}

std::string joined(const std::string& name, const std::string& number) {
    return name + (name.empty() || number.empty() ? "" : " ") + number;
}

struct Job {
    std::string name;
    std::string url;
};

using Variable = std::function<std::string(const char*)>;

// GitHub Actions, and what imitates it.
Job actions_job(const Variable& variable) {
    // Gitea and Forgejo know a run by its number in the repository.
    const bool by_number = !variable("GITEA_ACTIONS").empty() || !variable("FORGEJO_ACTIONS").empty();
    const std::string run = variable(by_number ? "GITHUB_RUN_NUMBER" : "GITHUB_RUN_ID");
    std::string server = variable("GITHUB_SERVER_URL");
    // Gitea's ends in a slash.
    while (server.ends_with('/'))
        server.pop_back();
    const std::string repository = variable("GITHUB_REPOSITORY");
    const bool is_known = !server.empty() && !repository.empty() && !run.empty();
    return {joined(variable("GITHUB_JOB"), run),
            is_known ? server + "/" + repository + "/actions/runs/" + run : ""};
}

Job ci_job(const Variable& variable) {
    if (!variable("GITHUB_RUN_ID").empty()) return actions_job(variable);
    for (const CiSystem& system : ci_systems) {
        const std::string url = variable(system.url);
        if (url.empty()) continue;
        std::string name = variable(system.names[0]);
        if (name.empty()) name = variable(system.names[1]);
        return {joined(name, variable(system.number)), url};
    }
    return {};
}

}  // namespace

Holder identity(const std::optional<std::string>& command,
                const std::function<std::string(const char*)>& variable) {
    const Job job = ci_job(variable);
    std::string process = user_name() + "@" + host_name();
    if (command)
        process += ":" + std::to_string(getpid()) + " " + std::filesystem::path(*command).filename().string();
    Holder holder;
    holder.name = cut(job.name.empty() ? process : job.name + " (" + process + ")", longest_name);
    const bool is_link = job.url.rfind("http://", 0) == 0 || job.url.rfind("https://", 0) == 0;
    if (is_link && job.url.size() <= longest_url) holder.url = job.url;
    return holder;
}

}  // namespace sema
