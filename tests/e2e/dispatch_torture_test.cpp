#include "tests/e2e/dispatch_farm.hpp"
#include "tests/e2e/semad.hpp"

#include <csignal>
#include <iterator>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

constexpr int slots = 8;
constexpr auto interval = 1s;
// Sanitizers make a process ten times as dear.
constexpr int tasks = SANITIZED ? 150 : 1000;
constexpr auto time_for_all = SANITIZED ? 500s : 400s;

std::size_t files_in(const std::filesystem::path& folder) {
    const std::filesystem::directory_iterator files(folder);
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

/// For how long a slot was free, at most, while tasks waited for it.
class Idleness {
  public:
    void look(const Farm& farm, std::size_t left) {
        const auto now = std::chrono::steady_clock::now();
        const HttpResponse answer = call(farm.server.port(), "GET", "/l/" + farm.semactl.pool().str());
        const bool is_free = Json::parse(answer.body).at("available") > 0;
        // Towards the end all that is left may run, or wait for its next turn.
        if (!is_free || left <= 4 * slots) {
            since_.reset();
            return;
        }
        if (!since_) since_ = now;
        longest_ = std::max(longest_, now - *since_);
    }
    std::chrono::steady_clock::duration longest() const { return longest_; }

  private:
    std::optional<std::chrono::steady_clock::time_point> since_;
    std::chrono::steady_clock::duration longest_{};
};

}  // namespace

TEST_CASE(
    "a thousand tasks, commands that fail, hang and are killed, and two dispatchers that are killed in "
    "turn") {
    const Farm farm(slots);
    for (const char* folder : {"done", "claims"})
        std::filesystem::create_directory(farm.folder() / folder);
    for (int i = 0; i < tasks; ++i)
        farm.give("task-" + std::to_string(i));
    const std::string worker = DISPATCH_WORKER;
    const auto poll = [&](const char* parity) {
        return "poll = [\"" + worker + "\", \"poll\", \"" + parity + "\"]\n";
    };
    farm.write(
        "pool = \"vsim\"\ninterval = \"1s\"\ntimeout = \"4s\"\nlimit = \"3s\"\nttl = \"5s\"\n"
        "[[backend]]\nname = \"runs\"\n" +
        poll("0") + "run = [\"" + worker + "\", \"run\", \"{id}\"]\nerror = [\"true\"]\n" +
        "[[backend]]\nname = \"starts\"\n" + poll("1") + "start = [\"" + worker +
        "\", \"start\", \"{id}\", \"" + SEMACTL + "\", \"" + farm.file().string() +
        "\"]\ntimeout_command = [\"" + worker + "\", \"kill\", \"{id}\"]\nerror = [\"true\"]\n");
    std::vector<std::unique_ptr<Program>> dispatchers;
    for (int i = 0; i < 2; ++i)
        dispatchers.push_back(farm.dispatch());
    Idleness idleness;
    const auto begin = std::chrono::steady_clock::now();
    auto next_kill = begin + 2s;
    std::size_t kills = 0;
    const bool all_done = eventually(
        [&] {
            const std::size_t left = files_in(farm.folder() / "queue");
            idleness.look(farm, left);
            const auto now = std::chrono::steady_clock::now();
            // The last ones are left in peace.
            if (now >= next_kill && left > 4 * slots) {
                auto& killed = dispatchers[kills++ % 2];
                killed->signal(SIGKILL);
                killed->wait();
                killed = farm.dispatch();
                next_kill = now + 2s;
            }
            return left == 0;
        },
        time_for_all);
    INFO("killed " << kills << " dispatchers; " << files_in(farm.folder() / "queue") << " tasks are left");
    CHECK(all_done);
    CHECK(kills > 0);
    CHECK(files_in(farm.folder() / "done") == tasks);
    CHECK(farm.text("wrong") == "");
    // None leaked: those whose end nobody told of time out.
    CHECK(eventually([&] { return farm.semactl.in_use() == 0; }, 120s));
    const auto idle = std::chrono::duration_cast<std::chrono::milliseconds>(idleness.longest());
    WARN("a slot was free for up to "
         << idle.count() << " ms while tasks waited; " << kills << " kills, "
         << std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begin).count()
         << " s in all");
    // The time that a busy machine takes to start two processes comes on top.
    CHECK(idle < interval + (SANITIZED ? 20s : 8s));
    for (const auto& dispatcher : dispatchers) {
        dispatcher->signal(SIGTERM);
        CHECK(dispatcher->wait() == 0);
    }
}
