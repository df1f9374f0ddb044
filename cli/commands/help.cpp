#include "cli/commands/commands.hpp"

namespace sema {

void setup_help(CLI::App& app) {
    add_command(app, "help", "Print this help, or that of a command",
                "Example: the same as semactl run --help\n"
                "  semactl help run");
}

}  // namespace sema
