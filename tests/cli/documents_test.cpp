#include "client/upkeep.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/help_text.hpp"
#include "tests/support/program.hpp"

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

std::string content(const std::string& path) {
    std::ifstream file(PROJECT_FOLDER + ("/" + path));
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    REQUIRE_FALSE(text.empty());
    return text;
}

// A manual page, with the hyphens that a reader sees.
std::string manual(const std::string& page) {
    return std::regex_replace(content("man/" + page), std::regex(R"(\\-)"), "-");
}

std::string help_of(const std::string& subcommand) {
    return run_program(subcommand.empty() ? std::vector<std::string>{SEMACTL, "--help"}
                                          : std::vector<std::string>{SEMACTL, subcommand, "--help"})
        .out;
}

const std::set<std::string>& subcommands() {
    static const std::set<std::string> names = subcommands_in(help_of(""));
    return names;
}

std::set<std::string> aliases() {
    return subcommand_aliases_in(help_of(""));
}

// The flags of semactl and of its subcommands.
std::set<std::string> flags() {
    std::set<std::string> all = flags_in(help_of(""));
    for (const std::string& name : subcommands())
        all.merge(flags_in(help_of(name)));
    return all;
}

bool has_word(const std::string& text, const std::string& word) {
    return std::regex_search(text, std::regex("(^|[^a-zA-Z-])" + word + "($|[^a-zA-Z-])"));
}

}  // namespace

TEST_CASE("the help names subcommands and flags in a form that the tests below can read") {
    CHECK(subcommands() == std::set<std::string>{"run",     "borrow",    "return",  "keepalive", "register",
                                                 "inspect", "resize",    "holders", "watch",     "callbacks",
                                                 "revoke",  "slot",      "stats",   "history",   "delete",
                                                 "new",     "ping",      "pools",   "backup",    "dispatch",
                                                 "help",    "completion"});
    CHECK(aliases() == std::set<std::string>{"who"});
    CHECK(flags().count("--conflict-exit-code") == 1);
    CHECK(flags().count("-E") == 1);
    CHECK(flags().count("-I") == 1);
    CHECK(flags().count("--server") == 1);
}

TEST_CASE("help fits a terminal of 80 columns, but for examples") {
    std::set<std::string> pages = subcommands();
    pages.insert("");
    for (const std::string& page : pages) {
        std::istringstream help(help_of(page));
        for (std::string line; std::getline(help, line);) {
            CAPTURE(page, line);
            CHECK((line.size() <= 80 || line.rfind("  semactl ", 0) == 0));
        }
    }
}

TEST_CASE("every flag and subcommand is in the man page and in the completions") {
    const std::string man = manual("semactl.1") + manual("semactl-run.1") + manual("semactl-dispatch.1");
    const std::string bash = content("completions/semactl.bash");
    const std::string zsh = content("completions/semactl.zsh");
    const std::string fish = content("completions/semactl.fish");
    const auto has = has_word;
    for (const std::string& flag : flags()) {
        CAPTURE(flag);
        CHECK(has(man, flag));
        CHECK(has(bash, flag));
        CHECK(has(zsh, flag));
        const bool is_long = flag.rfind("--", 0) == 0;
        CHECK(has(fish, is_long ? "-l " + flag.substr(2) : "-s " + flag.substr(1)));
    }
    const std::string page = manual("semactl.1");
    const std::string synopsis = page.substr(0, page.find(".SH DESCRIPTION"));
    for (const std::string& name : subcommands()) {
        CAPTURE(name);
        CHECK(has(synopsis, name));
        CHECK(has(man, ".SS " + name));
        CHECK(has(bash, name));
        CHECK(has(zsh, "'" + name + ":[^']*'"));
        CHECK(has(fish, "-a " + name));
    }
    for (const std::string& name : aliases()) {
        CAPTURE(name);
        CHECK(has(man, "BR " + name));
        CHECK(has(bash, name));
        CHECK(has(zsh, name));
        CHECK(has(fish, name));
    }
}

TEST_CASE("the manual page of run has all of its flags and exit statuses, and every variable") {
    const std::string page = manual("semactl-run.1");
    std::set<std::string> own = flags_in(help_of("run"));
    for (const std::string& flag : flags_in(help_of("ping")))
        own.erase(flag);
    CHECK(own.size() > 15);
    for (const std::string& flag : own) {
        CAPTURE(flag);
        CHECK(has_word(page, flag));
    }
    for (const std::string status : {"66", "69", "75", "79", "125", "126", "127"})
        CHECK(page.find("\n" + status + "\n") != std::string::npos);
    for (const std::string name :
         {"POSITION", "POSITIONS", "SLOT", "FENCE", "LEASE", "EXPIRES_AT", "EXIT_STATUS"})
        CHECK(page.find("SEMA_" + name) != std::string::npos);
}

TEST_CASE("the manual page of dispatch has all of its flags, statuses, keys and variables") {
    const std::string page = manual("semactl-dispatch.1");
    std::set<std::string> own = flags_in(help_of("dispatch"));
    for (const std::string& flag : flags_in(help_of("ping")))
        own.erase(flag);
    CHECK(own.size() == 4);
    for (const std::string& flag : own) {
        CAPTURE(flag);
        CHECK(has_word(page, flag));
    }
    for (const std::string status : {"0", "2", "66", "67", "69", "75", "125"})
        CHECK(page.find("\n" + status + "\n") != std::string::npos);
    for (const std::string name : {"TASK", "BACKEND", "POSITION", "SLOT", "LEASE", "FENCE"})
        CHECK(page.find("SEMA_" + name) != std::string::npos);
    for (const std::string key : {"pool", "slots", "interval", "timeout", "limit", "ttl", "name", "poll",
                                  "run", "start", "stop", "timeout_command", "keepalive", "error"})
        CHECK(page.find("\n.BR " + key + " \" = ") != std::string::npos);
}

TEST_CASE("the manual and the README tell the numbers by which leases are kept") {
    const sema::Moment start{};
    const sema::LeaseTerm term{start + 60s, 60s};
    const sema::Upkeep usual(term, {5s, 60s});
    REQUIRE(sema::is_fresh(term, start + 60s / 5));
    REQUIRE_FALSE(sema::is_fresh(term, start + 60s / 5 + 1us));
    REQUIRE(usual.terminate_at() - start == 54s);
    REQUIRE(sema::longest_grace(60s) == 60s / 6);
    const sema::Upkeep brief({start + 3s, 3s}, {5s, 3s});
    REQUIRE(brief.ends_at() - brief.kill_at() == sema::Duration(3s) / 12);

    CHECK_THAT(manual("semactl-run.1"),
               has_text("The lease is renewed when a fifth of its ttl is over") &&
                   has_text("a command gets over 42 s of that in any case, and over 54 s") &&
                   has_text("its ttl less a fifth") && has_text("at most a sixth of the ttl") &&
                   has_text("a twelfth of a ttl below 12 s"));
    CHECK_THAT(content("README.md"), has_text("away for up to half of it is never noticed by the command"));
}

TEST_CASE("no manual page hyphenates words, which may be parts of options") {
    for (const std::string name : {"semactl.1", "semactl-run.1", "semactl-dispatch.1", "semactl-config.5",
                                   "semad.8", "semad.toml.5"}) {
        CAPTURE(name);
        const std::string page = content("man/" + name);
        const bool is_mdoc = page.rfind(".Dd", 0) == 0;
        CHECK_THAT(page, has_text(is_mdoc ? "\n.nr doc-hyphen-flags 0\n" : "\n.nh\n"));
    }
}

TEST_CASE("groff takes each manual page without a warning") {
    if (run_program({"sh", "-c", "command -v groff"}).status != 0) {
        WARN("there is no groff");
        return;
    }
    for (const std::string name :
         {"semactl.1", "semactl-run.1", "semactl-config.5", "semad.8", "semad.toml.5"}) {
        CAPTURE(name);
        const Finished formatted =
            run_program({"groff", "-mandoc", "-ww", "-Tutf8", "-t", PROJECT_FOLDER + ("/man/" + name)});
        CHECK(formatted.status == 0);
        CHECK(formatted.err == "");
    }
}

TEST_CASE("help of a command is what its --help prints") {
    const auto help = [](std::vector<std::string> words) {
        words.insert(words.begin(), SEMACTL);
        const Finished done = run_program(std::move(words));
        CHECK(done.status == 0);
        return done.out;
    };
    CHECK(help({"help"}) == help_of(""));
    CHECK(help({"help", "run"}) == help_of("run"));
    CHECK(help({"-q", "--output", "json", "help", "who"}) == help_of("holders"));
}

TEST_CASE("every subcommand's help has an example, and names the options of all") {
    for (const std::string& name : subcommands()) {
        CAPTURE(name);
        CHECK(help_of(name).find("Example:") != std::string::npos);
        // That of help is semactl's own, which lists them.
        if (name == "help") continue;
        CHECK(help_of(name).find("(--server, --config, --output, ...): semactl --help\n") !=
              std::string::npos);
    }
}

TEST_CASE("the first example borrows for no fixed time, as the lease is renewed") {
    const std::string help = help_of("");
    CHECK(help.find("semactl run vsim --wait 30m -- make sim") != std::string::npos);
    CHECK(help.find("--ttl") == std::string::npos);
}

TEST_CASE("the script that borrows and returns is the same wherever it is shown") {
    const std::string script =
        "lease=$(semactl borrow vsim --ttl 10m --wait 5m --shell) || exit\n"
        "eval \"$lease\"\n"
        "trap 'semactl return vsim env:SEMA_LEASE' EXIT\n";
    const std::string man = manual("semactl.1");
    const std::string help = std::regex_replace(help_of("borrow"), std::regex("\n +"), "\n") + "\n";
    CHECK(content("README.md").find(script) != std::string::npos);
    CHECK(man.find(script) != std::string::npos);
    CHECK(help.find(script) != std::string::npos);
    // This form would go on without a slot: evaluating nothing is a success.
    CHECK(content("README.md").find("eval \"$(") == std::string::npos);
    CHECK(man.find("eval \"$(") == std::string::npos);
}

TEST_CASE("completion prints the installed scripts") {
    for (const std::string shell : {"bash", "zsh", "fish"})
        CHECK(run_program({SEMACTL, "completion", shell}).out == content("completions/semactl." + shell));
}
