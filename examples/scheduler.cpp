// Keeps two slots of a pool busy with five tasks: scheduler SERVER POOL
//
// A real backend asks a database or a folder for its tasks, starts processes for them, and is told by these
// when they end. Here the main loop ends each task in the pass after its start.
#include <sema/sema.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace {

// Its functions are called on threads of the scheduler's.
class Nightly : public sema::backend {
  public:
    std::string name() const override { return "nightly"; }

    // Names each task once.
    std::optional<std::string> poll() override {
        const std::scoped_lock lock(mutex_);
        if (named_ == last) return std::nullopt;
        return "night-" + std::to_string(++named_);
    }
    void start(const sema::task& what) override {
        say(what.id + " starts in slot " + std::to_string(what.position));
    }
    void stop(const sema::task& what) override {
        say(what.id + " has ended");
        const std::scoped_lock lock(mutex_);
        ++ended_;
    }
    bool is_done() const {
        const std::scoped_lock lock(mutex_);
        return ended_ == last;
    }

  private:
    void say(const std::string& text) {
        const std::scoped_lock lock(mutex_);
        std::cout << text << std::endl;
    }

    static constexpr int last = 5;
    mutable std::mutex mutex_;
    int named_ = 0;
    int ended_ = 0;
};

}  // namespace

int main(int count, char** arguments) try {
    using namespace std::chrono_literals;
    if (count != 3) {
        std::cerr << "usage: scheduler SERVER POOL\n";
        return 2;
    }
    sema::client client(arguments[1]);
    const auto nightly = std::make_shared<Nightly>();
    sema::scheduler_options options;
    options.slots = 2;
    options.timeout = 10min;
    options.on_trouble = [](const std::string& what) { std::cerr << what << '\n'; };
    sema::scheduler scheduler(client, arguments[2], {nightly}, options);

    while (!nightly->is_done()) {
        scheduler.schedule();
        for (const sema::task_state& task : scheduler.inspect())
            if (task.is_own) scheduler.stop(task.what.id);
        // Returns sooner where a slot is freed, or a task times out.
        if (!nightly->is_done()) scheduler.wait(10s);
    }
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
