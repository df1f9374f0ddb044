#include "tests/completions/shell.hpp"

#include "tests/e2e/terminal.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

namespace sema::test {
namespace {

namespace fs = std::filesystem;

const std::string end_of_offers = "end of the offers";
const std::string bash_completion = "/usr/share/bash-completion/bash_completion";
constexpr char ctrl_b = 2;
constexpr char ctrl_e = 5;
constexpr char ctrl_u = 21;

std::string source_path(const std::string& name) {
    return PROJECT_FOLDER + ("/" + name);
}

bool is_in_path(const std::string& program) {
    std::istringstream path(std::getenv("PATH"));
    for (std::string folder; std::getline(path, folder, ':');)
        if (access((folder + "/" + program).c_str(), X_OK) == 0) return true;
    return false;
}

void require_installed(bool is_there, const std::string& package) {
    INFO(package << " is missing: script/bootstrap test installs it");
    REQUIRE(is_there);
}

std::vector<std::string> lines_in(const fs::path& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);)
        lines.push_back(line);
    return lines;
}

std::map<std::string, Words> by_line(const std::vector<std::string>& lines,
                                     const std::vector<std::string>& captured) {
    std::map<std::string, Words> offers;
    auto line = lines.begin();
    for (const std::string& word : captured) {
        REQUIRE(line != lines.end());
        Words& words = offers[*line];
        if (word == end_of_offers)
            ++line;
        else
            words.insert(word);
    }
    INFO("the shell ended at: " << (line == lines.end() ? "the end" : *line));
    REQUIRE(line == lines.end());
    return offers;
}

// The keys that write the line and leave the cursor where it has its mark.
std::string keys_for(std::string line) {
    const auto mark = std::min(line.find('|'), line.size());
    const std::size_t behind = line.size() - std::min(mark + 1, line.size());
    if (mark < line.size()) line.erase(mark, 1);
    return line + std::string(behind, ctrl_b);
}

// A shell's program, as it is started in a folder that is the test's own.
struct Start {
    std::vector<std::string> command;
    ProgramOptions options;
    fs::path captured;
};

Start start_of(const Shell& shell, const ProgramOptions& options, const fs::path& folder) {
    Start start{{}, options, folder / "captured"};
    auto& environment = start.options.environment;
    std::string path = std::getenv("PATH");
    if (const auto own = environment.find("PATH"); own != environment.end()) path = own->second + ":" + path;
    for (const fs::path program : {SEMACTL, SEMAD})
        path = program.parent_path().string() + ":" + path;
    environment["PATH"] = path;
    environment["COMPLETIONS"] = source_path("completions");
    environment["CAPTURED"] = start.captured.string();
    environment["TERM"] = "vt100";
    environment["INPUTRC"] = "/dev/null";
    if (shell.is("bash-completion")) environment["BASH_COMPLETION"] = bash_completion;
    if (shell.is("strict")) environment["STRICT"] = "yes";
    if (shell.is("sourcing")) environment["SOURCED"] = "yes";

    const std::string script = source_path("tests/completions/capture.");
    if (shell.is("fish")) {
        start.command = {"fish", "--no-config"};
    } else if (shell.is("zsh")) {
        start.command = {"zsh", "--no-global-rcs", "-i"};
        std::ofstream(folder / ".zshrc") << "source " << script << "zsh\n";
        environment["ZDOTDIR"] = folder.string();
        // As they are installed.
        environment["FUNCTIONS"] = folder.string();
        fs::create_symlink(source_path("completions/semactl.zsh"), folder / "_semactl");
        fs::create_symlink(source_path("completions/semad.zsh"), folder / "_semad");
    } else {
        start.command = {"bash", "--noprofile", "--rcfile", script + "bash", "-i"};
    }
    return start;
}

// Writes each of the keys to a line of its own in the shell, and waits for what they make it write.
void type_lines(const Start& start, const std::vector<std::string>& lines) {
    Terminal terminal;
    terminal.resize(50, 200);
    ProgramOptions options = start.options;
    options.terminal = terminal.name();
    Program shell(start.command, options);
    const auto shows_prompt = [&] { return terminal.screen().find("ready> ") != std::string::npos; };
    eventually([&] { return shows_prompt() || shell.ended(); });
    INFO("on the terminal: " << terminal.screen());
    REQUIRE(shows_prompt());
    std::ptrdiff_t answered = 0;
    for (const std::string& keys : lines) {
        terminal.type(std::string{ctrl_e, ctrl_u} + keys);
        ++answered;
        const auto has_answer = [&] {
            // What nobody reads would keep the shell waiting.
            terminal.screen();
            const std::vector<std::string> words = lines_in(start.captured);
            return std::count(words.begin(), words.end(), end_of_offers) >= answered;
        };
        eventually([&] { return has_answer() || shell.ended(); });
        INFO("keys: " << keys << "\non the terminal: " << terminal.screen());
        REQUIRE(has_answer());
    }
}

}  // namespace

Shell::Shell(std::string kind) : kind_(std::move(kind)) {
    for (const std::string program : {"bash", "zsh", "fish"})
        if (is(program)) require_installed(is_in_path(program), program);
    if (is("bash-completion"))
        require_installed(access(bash_completion.c_str(), R_OK) == 0, "bash-completion");
}

std::map<std::string, Words> Shell::offers(const std::vector<std::string>& lines,
                                           const ProgramOptions& options) const {
    const TempDir folder;
    Start start = start_of(*this, options, folder.path());
    if (is("fish")) {
        for (const std::string& line : lines)
            start.options.input += line + "\n";
        start.command.push_back(source_path("tests/completions/capture.fish"));
        Program fish(start.command, start.options);
        // Some hundred lines, each of which takes it a quarter of a second.
        fish.wait(std::chrono::minutes(5));
        CHECK(fish.err().empty());
        std::ofstream(start.captured) << fish.out();
    } else {
        std::vector<std::string> keys;
        for (const std::string& line : lines)
            keys.push_back(keys_for(line) + "\t");
        type_lines(start, keys);
    }
    return by_line(lines, lines_in(start.captured));
}

std::string Shell::arguments_from(const std::string& keys, const ProgramOptions& options) const {
    const TempDir folder;
    Start start = start_of(*this, options, folder.path());
    start.options.environment["REPORTING"] = "yes";
    if (is("fish")) {
        start.command.insert(start.command.end(),
                             {"-i", "-C", "source " + source_path("tests/completions/capture.fish")});
    }
    type_lines(start, {keys + "\r"});
    return lines_in(start.captured).front();
}

}  // namespace sema::test
