#pragma once

#include <string>
#include <string_view>

namespace sema {

enum class Verbosity { quiet, normal, verbose };
enum class Output { text, json };

/// Where semactl's own words go: diagnostics to stderr, results to stdout. What is written passes no
/// control characters on, since some of it comes from a server.
class Console {
  public:
    Console(Verbosity verbosity, Output output);
    /// Wipes the live line, if there is one.
    ~Console();
    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;

    Output output() const { return output_; }

    /// Why semactl fails: said even when quiet.
    void error(std::string_view text);
    /// What somebody should know who didn't ask: not said when quiet.
    void note(std::string_view text);
    /// What is only said when asked for.
    void detail(std::string_view text);

    /// Whether live() shows anything: on a terminal, unless quiet.
    bool is_live() const { return live_; }
    /// Puts `text` in place of the last live line. An empty text wipes it.
    void live(std::string_view text);

    /// Writes a result to stdout as it is. False if it could not be written.
    [[nodiscard]] bool print(std::string_view text);

  private:
    void say(std::string_view text);

    Verbosity verbosity_;
    Output output_;
    bool live_;
    bool line_shown_ = false;
};

}  // namespace sema
