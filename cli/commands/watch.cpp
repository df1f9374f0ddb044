#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/foreground.hpp"
#include "cli/keyboard.hpp"
#include "cli/live_screen.hpp"
#include "cli/pool_table.hpp"
#include "cli/run/signals.hpp"
#include "client/backoff.hpp"
#include "common/overloaded.hpp"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// How long a stdout that takes nothing keeps us from looking for signals.
constexpr auto write_patience = 200ms;
constexpr Duration longest_pause = 500ms;

// The standard output is a pipe whose other end is closed.
bool has_no_reader() {
    pollfd output{STDOUT_FILENO, 0, 0};
    return poll(&output, 1, 0) > 0 && (output.revents & POLLERR) != 0;
}

struct WatchOptions {
    std::string pool;
};

/// Shows a pool's states as they come: on a terminal a table, otherwise a line of JSON for each.
class Watcher : public WaitControl {
  public:
    Watcher(Session& session, const PoolRef& pool)
        : client_(session.client),
          session_(session),
          pool_(pool),
          live_(session.console.output() == Output::text && session.console.terminal()),
          keyboard_(signals_.fd()) {
        if (live_) keyboard_.take();
    }
    ~Watcher() override { print(screen_.leave()); }

    int run() {
        for (;;) {
            const WatchEnd end = client_.watch(
                pool_.id, [this](const wire::PoolDetails& view) { return take(view); }, *this);
            if (const auto status = over()) return *status;
            const auto* busy = std::get_if<Busy>(&end);
            const auto* trouble = std::get_if<Unreachable>(&end);
            // A server that was never there is more likely misnamed than away.
            if (busy == nullptr && (trouble == nullptr || !served_)) return explain_end(end);
            busy != nullptr ? pause_after(*busy) : pause_after(*trouble);
            if (const auto status = over()) return *status;
        }
    }

    int wake_fd() const override { return keyboard_.fd(); }

    bool keep_waiting() override {
        take_input();
        obey();
        redraw();
        return !is_over();
    }

  private:
    bool is_over() const { return signal_ || quits_ || unread_; }

    bool take(const wire::PoolDetails& view) {
        served_ = true;
        if (std::exchange(trouble_said_, false))
            session_.console.note(client_.server().name + " is available again");
        backoff_.reset();
        if (!live_) return print(json_line(wire::to_json(view)));
        view_ = view;
        as_of_ = BootClock::now();
        redraw();
        return !is_over();
    }

    void redraw() {
        if (!view_ || is_in_background(STDOUT_FILENO)) return;
        const TerminalSize size = session_.console.terminal().value_or(TerminalSize{});
        TableLayout layout;
        layout.links = TableLayout::Links::hyperlink;
        layout.columns = size.columns;
        // The last row is for the shell's prompt.
        layout.rows = std::max<std::size_t>(size.rows, 2) - 1;
        std::vector<std::string> lines = pool_table(*view_, pool_.name, BootClock::now() - as_of_, layout);
        for (std::string& line : lines)
            line = session_.console.in_locale(line);
        print(screen_.draw(lines));
    }

    void take_input() {
        while (const auto key = keyboard_.next())
            quits_ = quits_ || *key == 'q' || *key == 'Q';
        while (const auto signal = signals_.next()) {
            if (ends_waiting(signal->number)) signal_ = signal->number;
            switch (signal->number) {
                case SIGTSTP:
                case SIGTTIN:
                case SIGTTOU:
                    suspension_ = signal->number;
                    break;
                case SIGCONT:
                    suspension_.reset();
                    if (live_) keyboard_.take();
                    break;
                case SIGWINCH:
                    resized_ = true;
                    break;
                default:
                    break;
            }
        }
    }

    // Obeys the signals that do not end the watch.
    void obey() {
        if (std::exchange(resized_, false)) print(screen_.wipe_all());
        // As a program that takes the whole screen does, it stops until it is brought to the foreground.
        if (live_ && !suspension_ && is_in_background(STDOUT_FILENO)) suspension_ = SIGTTOU;
        if (!suspension_) return;
        // That reads signals: a CONT among them, or one that ends the watch, is to win.
        print(screen_.leave());
        if (!is_over()) suspend();
    }

    // Stops, where that is still asked for. Returns once it was continued.
    void suspend() {
        const auto number = std::exchange(suspension_, std::nullopt);
        if (!number) return;
        keyboard_.give_back();
        signals_.stop_self(*number);
        if (live_) keyboard_.take();
    }

    // A reader that stops reading keeps us neither from ending at a signal nor from stopping at one.
    bool print(std::string_view text) {
        while (!text.empty()) {
            const auto written = session_.console.print_within(text, write_patience);
            if (!written) {
                unread_ = true;
                return false;
            }
            text.remove_prefix(*written);
            take_input();
            if (signal_ || quits_) return false;
            if (!text.empty()) suspend();
        }
        return true;
    }

    template <class Trouble>
    void pause_after(const Trouble& trouble) {
        view_.reset();
        print(screen_.wipe());
        if (!std::exchange(trouble_said_, true))
            session_.console.note(client_.server().name + " " + predicate(trouble) + " (trying again)");
        const Moment end = BootClock::now() + backoff_.next(trouble.retry_after, Duration::max(), 0s);
        for (Duration left = end - BootClock::now(); left > 0s && !is_over(); left = end - BootClock::now()) {
            pollfd wake{keyboard_.fd(), POLLIN, 0};
            const auto ms = std::chrono::ceil<std::chrono::milliseconds>(std::min(left, longest_pause));
            poll(&wake, 1, static_cast<int>(ms.count()));
            take_input();
            obey();
        }
    }

    // The exit status, where a signal, a key or the lack of a reader ends the watch.
    std::optional<int> over() {
        take_input();
        if (signal_) return exit_status::of_signal(*signal_);
        if (quits_) return exit_status::done;
        if (!unread_) return std::nullopt;
        if (has_no_reader()) return exit_status::of_signal(SIGPIPE);
        session_.console.error("cannot write to the standard output");
        return exit_status::failed;
    }

    int explain_end(const WatchEnd& end) {
        print(screen_.leave());
        return std::visit(Overloaded{[](const Left&) { return exit_status::failed; },
                                     [&](const auto& why) { return explain(session_, pool_, why); }},
                          end);
    }

    Client& client_;
    Session& session_;
    const PoolRef& pool_;
    const bool live_;
    Signals signals_;
    Keyboard keyboard_;
    LiveScreen screen_;
    Backoff backoff_;
    /// What the screen shows, and since when that is so.
    std::optional<wire::PoolDetails> view_;
    Moment as_of_;
    bool served_ = false;
    bool trouble_said_ = false;
    bool unread_ = false;
    /// A key was pressed that ends the watch.
    bool quits_ = false;
    /// The signal that ends it.
    std::optional<int> signal_;
    /// The signal that suspends it.
    std::optional<int> suspension_;
    bool resized_ = false;
};

int run_watch(const WatchOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    return Watcher(session, *pool).run();
}

}  // namespace

void setup_watch(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<WatchOptions>();
    CLI::App& command = add_command(
        app, "watch", "Show who holds and who waits, as it changes",
        "On a terminal it shows a table until q or Ctrl-C. Otherwise, and with --output json, it prints one "
        "line of JSON for each state: the answer of `semactl --output json holders`.\n\n"
        "Example: wait until a slot is free\n"
        "  semactl watch vsim | jq --unbuffered 'select(.available > 0) | .available'");
    add_pool(command, options->pool);
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_watch(*options, session); };
    });
}

}  // namespace sema
