#pragma once

#include "cli/apart_writer.hpp"
#include "client/boot_clock.hpp"
#include "common/printable.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sema {

enum class Verbosity { quiet, normal, verbose };
enum class Output { text, json };

/// A JSON text as a line that moves no terminal: the control characters that JSON takes as they are, U+0080
/// to U+009F, are written as escapes. What it says stays the same.
std::string json_line(std::string_view json);

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
    /// Wipes the live line, if there is one, and gives stderr half a second for what it has not taken yet, or
    /// what is left of that: see end_by().
    ~Console();
    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;

    Output output() const { return output_; }

    /// A text for people as it can be shown: in ASCII, unless the environment's locale is one of UTF-8.
    std::string in_locale(std::string text) const;

    /// From here on no diagnostic is written to a file by this process itself, which a disk that hangs could
    /// hold up for ever, unless the system refuses another process.
    void write_apart();
    /// What writes in its place; none where it writes itself.
    ApartWriter* writer() { return writer_ ? &*writer_ : nullptr; }

    /// By then this object is to be gone, though a tenth of a second is left for what stderr has not taken.
    void end_by(Moment end) { end_ = end; }

    /// Diagnostics that are said while one of these lives, and that another process writes, are written at
    /// its end: what is to be done first does not wait for that. Others take no time, and are written before
    /// whatever the command says to what is done.
    class Pause {
      public:
        explicit Pause(Console& console) : console_(console) { ++console_.pauses_; }
        ~Pause() {
            if (--console_.pauses_ == 0) console_.flush();
        }
        Pause(const Pause&) = delete;
        Pause& operator=(const Pause&) = delete;

      private:
        Console& console_;
    };

    /// From here on diagnostics have the words for which this holds as they are, though they look like UUIDs.
    void show(IsShown is_shown);

    /// Why semactl fails: said even when quiet.
    void error(std::string_view text);
    /// What the user should know without having asked: not said when quiet.
    void note(std::string_view text);
    /// What is only said when asked for.
    void detail(std::string_view text);

    /// Whether there is a person to ask: stdin and stderr are terminals.
    bool can_ask() const;
    /// Asks a question on stderr, quiet or not, and waits for a line of stdin. True where that says yes.
    bool is_confirmed(std::string_view question);

    /// Whether live() shows anything: on a terminal, but while this is a job in its background; unless
    /// quiet.
    bool is_live() const;
    /// How wide a live line may be: the rest of a wider one is not seen.
    std::size_t live_columns() const;
    /// Puts `text` in place of the last live line. An empty text wipes it.
    void live(std::string_view text);

    /// Writes a result to stdout as it is, and waits until it is taken. False if it could not be written:
    /// errno says why.
    [[nodiscard]] bool print(std::string_view text);

    /// The size of the terminal that stdout is, where it is one that understands what moves the cursor.
    std::optional<TerminalSize> terminal() const;
    /// Writes as much of a result as stdout takes within `patience`, and returns how much that was. None
    /// where it takes nothing any more.
    std::optional<std::size_t> print_within(std::string_view text, std::chrono::milliseconds patience);

  private:
    void say(std::string_view text);
    void wipe_line();
    std::chrono::milliseconds last_patience() const;
    /// Writes what is unsaid, and for the rest of it waits no longer than `patience`.
    void flush(std::chrono::milliseconds patience = {});

    Verbosity verbosity_;
    Output output_;
    bool may_be_live_;
    bool utf8_;
    bool line_shown_ = false;
    std::optional<Moment> end_;
    IsShown is_shown_;
    std::string unsaid_;
    int pauses_ = 0;
    std::optional<ApartWriter> writer_;
};

}  // namespace sema
