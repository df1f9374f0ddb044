#include "cli/commands/as_admin.hpp"
#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/new_file.hpp"
#include "common/overloaded.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <variant>

namespace sema {
namespace {

namespace fs = std::filesystem;

constexpr const char* attempt = "make a backup";
constexpr const char* to_stdout = "-";
// What every database of SQLite's begins with.
constexpr std::string_view magic("SQLite format 3\0", 16);

struct BackupOptions {
    std::string file;
    std::optional<std::string> admin_token;
};

/// Where the bytes go.
class Destination {
  public:
    explicit Destination(const std::string& file) : name_(file == to_stdout ? "the standard output" : file) {
        if (file != to_stdout) file_.emplace(file);
    }

    const std::string& name() const { return name_; }
    bool is_open() const { return !file_ || file_->is_open(); }
    bool take(std::string_view bytes) {
        return file_ ? file_->write(bytes) : write_all(STDOUT_FILENO, bytes);
    }
    bool complete() { return !file_ || file_->place(); }

  private:
    std::string name_;
    std::optional<NewFile> file_;
};

/// Hands the bytes on, as long as they are a database's.
class Receiver {
  public:
    explicit Receiver(Destination& to) : to_(to) {}

    bool take(std::string_view bytes) {
        const std::string_view expected = magic.substr(0, magic.size() - begun_.size());
        begun_.append(bytes.substr(0, expected.size()));
        is_foreign_ = begun_ != magic.substr(0, begun_.size());
        if (is_foreign_) return false;
        size_ += bytes.size();
        if (to_.take(bytes)) return true;
        error_ = errno;
        return false;
    }

    bool is_foreign() const { return is_foreign_; }
    bool is_database() const { return begun_ == magic; }
    std::uint64_t size() const { return size_; }
    /// Why the bytes could not be handed on; 0 where they could.
    int error() const { return error_; }

  private:
    Destination& to_;
    std::string begun_;
    std::uint64_t size_ = 0;
    bool is_foreign_ = false;
    int error_ = 0;
};

int cannot_write(Session& session, const Destination& to, int error) {
    session.console.error(std::string("cannot ") + attempt + ": cannot write " + to.name() + ": " +
                          std::generic_category().message(error));
    return exit_status::failed;
}

// Why the bytes cannot go there, as far as that can be seen.
std::string objection_to(const std::string& file) {
    if (file == to_stdout)
        return isatty(STDOUT_FILENO) != 0 ? "the standard output is a terminal: name a file" : "";
    std::error_code unknown;
    const fs::file_type type = fs::status(file, unknown).type();
    const bool is_fine = type == fs::file_type::regular || type == fs::file_type::not_found;
    return is_fine ? "" : file + " is not a regular file (- is the standard output)";
}

int run_backup(const BackupOptions& options, Session& session) {
    // What is beyond the size that a file may have (`ulimit -f`) is an error to report, not a reason to die.
    std::signal(SIGXFSZ, SIG_IGN);
    if (const std::string why = objection_to(options.file); !why.empty()) {
        session.console.error(std::string("cannot ") + attempt + ": " + why);
        return exit_status::usage;
    }
    const auto token = admin_token(session, options.admin_token, attempt);
    if (!token) return exit_status::usage;
    Destination to(options.file);
    if (!to.is_open()) return cannot_write(session, to, errno);
    Receiver receiver(to);
    const auto answer =
        session.client.backup(token->token, [&](std::string_view bytes) { return receiver.take(bytes); });
    if (receiver.error() != 0) return cannot_write(session, to, receiver.error());
    const Rejected foreign{"gave an answer that no semad gives: it is no backup", true};
    if (receiver.is_foreign()) return explain(session, foreign);
    return std::visit(
        Overloaded{[&](BackedUp) {
                       if (!receiver.is_database()) return explain(session, foreign);
                       if (!to.complete()) return cannot_write(session, to, errno);
                       session.console.note(std::to_string(receiver.size()) + " bytes are in " + to.name());
                       return exit_status::done;
                   },
                   [&](NotAdmin why) { return explain(session, why, *token, attempt, "makes backups"); },
                   [&](const auto& trouble) { return explain(session, trouble); }},
        answer);
}

}  // namespace

void setup_backup(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<BackupOptions>();
    CLI::App& command = add_command(
        app, "backup", "Copy all pools and leases (administrator)",
        "The file is a store of semad's, with all pools and leases, and can be put in its place. What pools "
        "did before (semactl history) is not in it. It holds secrets. FILE is replaced only by a whole one; "
        "- is the standard output.\n\n"
        "Example:\n"
        "  semactl backup --admin-token file:/etc/semad/admin-token /var/backups/semad.db");
    add_text(command, "FILE", options->file, "", "The file to write");
    add_admin_token(command, options->admin_token);
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_backup(*options, session); };
    });
}

}  // namespace sema
