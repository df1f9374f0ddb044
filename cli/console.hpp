#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sema {

enum class Verbosity { quiet, normal, verbose };
enum class Output { text, json };

/// A text from somewhere else as it may be shown: on one line, with a space for every control character, also
/// for those that change the direction of writing, which would make what follows read as something else.
std::string printable(std::string_view text);

/// A message as it may be shown: on one line and without control characters, since some of it comes from a
/// server, and with `<UUID>` in place of whatever looks like a UUID, a mistyped one included. A person who
/// has a pool's or a lease's UUID has its slots, and what people type in the wrong place ends up in messages.
std::string presentable(std::string_view text);

/// How much a terminal shows at once.
struct TerminalSize {
    std::size_t rows = 24;
    std::size_t columns = 80;
};

/// Where semactl's own words go: diagnostics to stderr, results to stdout.
///
/// Diagnostics are presentable() and in_locale(), and saying something never waits for a stderr that is not
/// read: what it does not take at once is kept, and said together with the next words or at the end, as far
/// as stderr takes it then.
class Console {
  public:
    Console(Verbosity verbosity, Output output);
    /// Wipes the live line, if there is one, and gives stderr half a second for what it has not taken yet.
    ~Console();
    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;

    Output output() const { return output_; }

    /// A text for people as it can be shown: in ASCII, unless the environment's locale is one of UTF-8.
    std::string in_locale(std::string text) const;

    /// Why semactl fails: said even when quiet.
    void error(std::string_view text);
    /// What the user should know without having asked: not said when quiet.
    void note(std::string_view text);
    /// What is only said when asked for.
    void detail(std::string_view text);

    /// Whether live() shows anything: on a terminal, unless quiet.
    bool is_live() const { return live_; }
    /// How wide a live line may be: the rest of a wider one is not seen.
    std::size_t live_columns() const;
    /// Puts `text` in place of the last live line. An empty text wipes it.
    void live(std::string_view text);

    /// Writes a result to stdout as it is, and waits until it is taken. False if it could not be written.
    [[nodiscard]] bool print(std::string_view text);

    /// The size of the terminal that stdout is, where it is one that understands what moves the cursor.
    std::optional<TerminalSize> terminal() const;
    /// Writes as much of a result as stdout takes within `patience`, and returns how much that was. None
    /// where it takes nothing any more.
    std::optional<std::size_t> print_within(std::string_view text, std::chrono::milliseconds patience);

  private:
    void say(std::string_view text);
    void wipe_line();
    /// Writes what is unsaid, and for the rest of it waits no longer than `patience`.
    void flush(std::chrono::milliseconds patience = {});

    Verbosity verbosity_;
    Output output_;
    bool live_;
    bool utf8_;
    bool line_shown_ = false;
    std::string unsaid_;
};

}  // namespace sema
