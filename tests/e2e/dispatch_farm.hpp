#pragma once

#include "common/ids.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/program.hpp"
#include "tests/support/running_server.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace sema::test {

/// Whether a process has ended, also where nobody has taken its end yet.
inline bool is_over(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
    return file.peek() == std::ifstream::traits_type::eof();
}

/// A server with the pool `vsim`, and a folder with what dispatchers and their commands have: queues of
/// tasks, which are files, and a log of what the commands were called for.
class Farm {
  public:
    explicit Farm(int count = 2, std::vector<std::string> server_options = {})
        : server(std::move(server_options)) {
        if (count > 0) REQUIRE(semactl({"register", "vsim", "--count", std::to_string(count)}).status == 0);
        std::filesystem::create_directory(folder() / "queue");
        // The first task of a queue, which stays there until a command takes it out.
        script("poll", "ls \"${1:-queue}\" | head -n 1");
        script("say", "echo \"$*\" >> log");
        script("take", "rm -f queue/\"$1\"; echo \"start $1\" >> log");
    }

    std::filesystem::path folder() const { return semactl.folder(); }
    std::filesystem::path file() const { return folder() / "farm.toml"; }

    void script(const std::string& name, const std::string& lines) const {
        const auto path = folder() / name;
        std::ofstream(path) << "#!/bin/sh\n" << lines << "\n";
        std::filesystem::permissions(path, std::filesystem::perms(0700));
    }

    void give(const std::string& id, const std::string& queue = "queue") const {
        std::filesystem::create_directory(folder() / queue);
        std::ofstream(folder() / queue / id) << "";
    }

    void write(const std::string& text) const { std::ofstream(file()) << text; }

    static std::string head(const std::string& more = "") {
        return "pool = \"vsim\"\ninterval = \"500ms\"\n" + more + "\n";
    }

    /// A backend whose tasks go on until they are stopped, and which logs all that it is called for.
    static std::string starting(const std::string& more = "") {
        return "[[backend]]\nname = \"nightly\"\npoll = [\"./poll\"]\nstart = [\"./take\", \"{id}\"]\n"
               "stop = [\"./say\", \"stop\", \"{id}\"]\ntimeout_command = [\"./say\", \"timeout\", "
               "\"{id}\"]\n"
               "keepalive = [\"./say\", \"keepalive\", \"{id}\"]\nerror = [\"./say\", \"error\", \"{id}\", "
               "\"{call}\"]\n" +
               more + "\n";
    }

    /// One whose tasks are the command, of a queue of its own.
    static std::string running(const std::string& command, const std::string& more = "") {
        return "[[backend]]\nname = \"jobs\"\npoll = [\"./poll\", \"jobs\"]\nrun = " + command +
               "\nstop = [\"./say\", \"stop\", \"{id}\"]\nerror = [\"./say\", \"error\", \"{id}\", "
               "\"{call}\"]\n" +
               more + "\n";
    }

    std::unique_ptr<Program> dispatch(std::vector<std::string> options = {}) const {
        options.insert(options.begin(), "dispatch");
        options.push_back(file().string());
        return std::make_unique<Program>(Semactl::command(std::move(options)), environment());
    }

    Finished call(std::vector<std::string> words) const {
        words.push_back(file().string());
        words.insert(words.begin(), "dispatch");
        return semactl(std::move(words), environment());
    }

    ProgramOptions environment() const {
        ProgramOptions options;
        options.environment["XDG_STATE_HOME"] = (folder() / "state").string();
        options.environment["STATE_DIRECTORY"] = "";
        return semactl.options(options);
    }

    nlohmann::json status() const {
        const Finished answer =
            semactl({"--output", "json", "dispatch", "status", file().string()}, environment());
        INFO(answer.err);
        REQUIRE(answer.status == 0);
        return nlohmann::json::parse(answer.out);
    }
    std::size_t tasks() const { return status().at("tasks").size(); }

    std::string text(const std::string& name) const {
        std::ifstream file(folder() / name);
        std::ostringstream text;
        text << file.rdbuf();
        return text.str();
    }
    std::string log() const { return text("log"); }
    bool logs(const std::string& lines) const {
        const bool is_there = eventually([&] { return log() == lines; });
        if (!is_there) UNSCOPED_INFO("the log is\n" << log());
        return is_there;
    }
    bool has_logged(const std::string& line) const {
        const bool is_there =
            eventually([&] { return ("\n" + log()).find("\n" + line + "\n") != std::string::npos; });
        if (!is_there) UNSCOPED_INFO("the log is\n" << log());
        return is_there;
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace sema::test
