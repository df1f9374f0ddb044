#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace sema::test;

namespace {

/// A block of a document that has a command with `curl` in it, and what that prints.
struct Example {
    int line = 0;
    std::string command;
    std::string output;
};

bool starts_with(const std::string& text, const std::string& beginning) {
    return text.rfind(beginning, 0) == 0;
}

std::string without_last_newlines(std::string text) {
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    return text;
}

/// The output begins with the first line that begins as an answer does. A line of it that is indented goes on
/// with the one before.
Example example_of(const std::vector<std::string>& block, int line) {
    Example example{line, "", ""};
    for (const std::string& text : block) {
        const bool is_output = !example.output.empty() || starts_with(text, "{") ||
                               starts_with(text, "event: ") || starts_with(text, "data: ");
        if (!is_output) {
            example.command += text + '\n';
        } else if (starts_with(text, "  ")) {
            example.output.pop_back();
            example.output += text.substr(2) + '\n';
        } else {
            example.output += text + '\n';
        }
    }
    example.output = without_last_newlines(example.output);
    return example;
}

std::vector<Example> examples_of(const std::string& document) {
    std::ifstream file(std::string(PROJECT_FOLDER) + "/" + document);
    REQUIRE(file);
    std::vector<Example> examples;
    std::vector<std::string> block;
    bool is_in_block = false;
    int number = 0;
    for (std::string line; std::getline(file, line);) {
        ++number;
        if (!starts_with(line, "```")) {
            if (is_in_block) block.push_back(line);
            continue;
        }
        if (is_in_block) {
            const Example example = example_of(block, number - static_cast<int>(block.size()));
            if (example.command.find("curl ") != std::string::npos) examples.push_back(example);
            block.clear();
        }
        is_in_block = !is_in_block;
    }
    return examples;
}

std::string replaced(std::string text, const std::string& old, const std::string& with) {
    for (auto at = text.find(old); at != text.npos; at = text.find(old, at + with.size()))
        text.replace(at, old.size(), with);
    return text;
}

std::vector<std::string> uuids_of(const std::string& text) {
    static const std::regex uuid("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");
    std::vector<std::string> found;
    for (std::sregex_iterator it(text.begin(), text.end(), uuid), end; it != end; ++it)
        found.push_back(it->str());
    return found;
}

/// The document's story as it happens on a server. What differs from one time to the next is:
///
/// - UUIDs that the server chose. The first one in the document's output stands for the first one in the
///   server's from then on, in commands too. UUIDs that were in a command before are the reader's choice.
/// - Unix times, of which is known when they can have been.
/// - Seconds: `expires_in` can be lower than in the document, by as much as this takes; `waiting_for` and
///   `eta` are any number.
///
/// All else is as in the document, keys and their order included.
class Story {
  public:
    /// The server's admin token is in the file `admin_token`.
    Story(const RunningServer& server, std::string admin_token)
        : server_(server), admin_token_(std::move(admin_token)) {}

    void tell(const Example& example) {
        for (const std::string& uuid : uuids_of(example.command)) {
            if (chosen_by_server_.count(uuid) == 0) chosen_by_reader_.insert(uuid);
        }
        const std::string command =
            replaced(replaced(as_here(example.command), "http://127.0.0.1:7717", server_.url()),
                     "/etc/semad/admin-token", admin_token_);
        ProgramOptions options;
        options.directory = folder_.path().string();
        const Finished run = run_program({"/bin/bash", "-c", command}, options);
        const std::string output = without_last_newlines(run.out);
        INFO("docs/http-api.md:" << example.line << "\n" << command << run.err);
        // Curl's way to say that the time it was given is over.
        constexpr int curl_timed_out = 28;
        const bool has_limit = command.find("--max-time") != command.npos;
        CHECK(run.status == (has_limit ? curl_timed_out : 0));
        learn_uuids(example.output, output);
        CHECK(without_times(output, output) == without_times(as_here(example.output), output));
    }

  private:
    std::string as_here(std::string text) const {
        for (const auto& [in_document, here] : chosen_by_server_)
            text = replaced(text, in_document, here);
        return text;
    }

    void learn_uuids(const std::string& shown, const std::string& output) {
        const auto in_document = uuids_of(shown);
        const auto here = uuids_of(output);
        for (std::size_t i = 0; i < std::min(in_document.size(), here.size()); ++i) {
            if (chosen_by_reader_.count(in_document[i]) == 0 && chosen_by_reader_.count(here[i]) == 0)
                chosen_by_server_.emplace(in_document[i], here[i]);
        }
    }

    /// `text` with a sign in the place of each number that may differ, provided that it is one that the
    /// server may answer: see the numbers in `output`.
    std::string without_times(const std::string& text, const std::string& output) const {
        static const std::regex number(R"x("(\w+_unix|expires_in|waiting_for|eta)":(\d+))x");
        std::vector<long long> actual;
        for (std::sregex_iterator it(output.begin(), output.end(), number), end; it != end; ++it)
            actual.push_back(std::stoll((*it)[2]));
        std::string result;
        std::size_t index = 0;
        std::sregex_iterator it(text.begin(), text.end(), number);
        const std::sregex_iterator end;
        std::string::const_iterator after = text.begin();
        for (; it != end && index < actual.size(); ++it, ++index) {
            const std::smatch& match = *it;
            const std::string name = match[1];
            const bool differs = may_differ(name, std::stoll(match[2]), actual[index]);
            result +=
                std::string(after, match[0].first) + '"' + name + "\":" + (differs ? "*" : match[2].str());
            after = match[0].second;
        }
        return result + std::string(after, text.end());
    }

    bool may_differ(const std::string& name, long long shown, long long actual) const {
        if (name == "waiting_for" || name == "eta") return true;
        const std::time_t now = std::time(nullptr);
        if (name == "expires_in") return actual <= shown && actual >= shown - (now - began_ + 1);
        constexpr std::time_t day = 86400;
        return actual >= began_ - 1 && actual <= now + day;
    }

    /// Where the reader works.
    TempDir folder_;
    const RunningServer& server_;
    const std::string admin_token_;
    const std::time_t began_ = std::time(nullptr);
    std::set<std::string> chosen_by_reader_;
    std::map<std::string, std::string> chosen_by_server_;
};

}  // namespace

TEST_CASE("the examples of the HTTP interface's reference are what semad does") {
    // A place in the queue must outlive the slowest machine's way to the next example.
    const TempDir folder;
    const std::string admin_token = (folder.path() / "admin-token").string();
    std::ofstream(admin_token) << "s3cret\n";
    std::filesystem::permissions(admin_token, std::filesystem::perms(0600));
    const RunningServer server(
        {"--rejoin", "10m", "--admin-token-file", admin_token, "--callback-allow", "ci.example.com"});
    const auto examples = examples_of("docs/http-api.md");
    CHECK(examples.size() >= 15);
    Story story(server, admin_token);
    for (const Example& example : examples)
        story.tell(example);
}

TEST_CASE("every call of the HTTP interface's reference is in one of its examples") {
    std::string commands;
    for (const Example& example : examples_of("docs/http-api.md"))
        commands += example.command;
    for (const char* call :
         {"/borrow", "/keepalive", "/return", "/resize", "/revoke", "/slots/", "/holders", "/history",
          "/statistics", "/events", "/callbacks", "/queue/", "/pools", "-X PUT", "-X DELETE"}) {
        CAPTURE(call);
        CHECK(commands.find(call) != std::string::npos);
    }
}
