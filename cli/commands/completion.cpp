#include "cli/commands/commands.hpp"
#include "cli/completions.hpp"

#include <memory>

namespace sema {
namespace {

struct CompletionOptions {
    std::string shell;
};

int run_completion(const CompletionOptions& options, Console& console) {
    const char* script = options.shell == "bash"  ? completions::bash
                         : options.shell == "zsh" ? completions::zsh
                                                  : completions::fish;
    return print_result(console, script);
}

}  // namespace

void setup_completion(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<CompletionOptions>();
    CLI::App& command = add_command(app, "completion", "Print the completion script for a shell",
                                    "Example: complete semactl in this bash\n"
                                    "  source <(semactl completion bash)");
    add_choice(
        command, "SHELL", {"bash", "zsh", "fish"},
        [options](const std::string& shell) { options->shell = shell; }, "", "bash, zsh or fish");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Console& console) { return run_completion(*options, console); };
    });
}

}  // namespace sema
