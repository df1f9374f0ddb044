#include "tests/completions/shell.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/help_text.hpp"
#include "tests/support/temp_dir.hpp"

#include <filesystem>
#include <fstream>
#include <utility>

using namespace sema::test;

namespace {

namespace fs = std::filesystem;

Shell any_shell() {
    return Shell(GENERATE(as<std::string>{}, "bash", "bash with bash-completion", "zsh", "fish"));
}

// With settings that scripts stumble over, too.
Shell any_setup() {
    return Shell(GENERATE(as<std::string>{}, "bash", "strict bash", "bash with bash-completion", "zsh",
                          "strict sourcing zsh", "fish"));
}

const std::string configuration = R"(
server = "unix:/run/semad.sock"

[pools] # those of this machine
vsim = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01"
  gpu = { id = "file:/etc/gpu-pool", ttl = "10m", wait = 300 }
"quoted" = "env:QUOTED"
# absent = "env:ABSENT"
dotted.id = "env:DOTTED"

[pools.table]
id = "env:TABLE"
ttl = "5m"

[ pools . 'spaced' ]
id = "env:SPACED"
)";
const Words aliases = {"vsim", "gpu", "quoted", "dotted", "table", "spaced"};
const Words references = {"env:", "file:"};

Words operator+(Words left, const Words& right) {
    left.insert(right.begin(), right.end());
    return left;
}

Words operator-(Words left, const Words& right) {
    for (const std::string& word : right)
        left.erase(word);
    return left;
}

Words with_prefix(const std::string& prefix, const Words& words) {
    Words all;
    for (const std::string& word : words)
        all.insert(prefix + word);
    return all;
}

void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
}

// Somebody's home folder, which is where the shell is.
class Home {
  public:
    Home() {
        write(folder_.path() / ".config/semactl/config.toml", configuration);
        write(folder_.path() / "notes.txt", "");
        write(folder_.path() / "bin/sema-tool", "#!/bin/sh\n");
        fs::permissions(folder_.path() / "bin/sema-tool", fs::perms::owner_all);
        options.directory = folder_.path().string();
        options.environment = {{"HOME", folder_.path().string()},
                               {"PATH", (folder_.path() / "bin").string()},
                               {"XDG_CONFIG_HOME", ""},
                               {"SEMACTL_CONFIG", ""},
                               {"SEMACTL_POOL", ""}};
    }

    // A configuration file that has this alias alone.
    std::string configure(const std::string& name, const std::string& alias) const {
        const fs::path path = folder_.path() / name;
        write(path, "[pools]\n" + alias + " = \"env:POOL\"\n");
        return path.string();
    }

    std::string path() const { return folder_.path().string(); }

    ProgramOptions options;

  private:
    TempDir folder_;
};

// Lines, and what is offered at the end of each.
using Expectations = std::vector<std::pair<std::string, Words>>;

void check(const Shell& shell, const Expectations& expectations,
           const ProgramOptions& options = Home().options) {
    CAPTURE(shell.kind());
    std::vector<std::string> lines;
    for (const auto& [line, words] : expectations)
        lines.push_back(line);
    const auto offers = shell.offers(lines, options);
    for (const auto& [line, words] : expectations) {
        CAPTURE(line);
        CHECK(offers.at(line) == words);
    }
}

const std::string& help_of(const std::vector<std::string>& command) {
    static std::map<std::vector<std::string>, std::string> known;
    std::string& help = known[command];
    if (help.empty()) {
        std::vector<std::string> words = command;
        words.push_back("--help");
        help = run_program(words).out;
    }
    REQUIRE_FALSE(help.empty());
    return help;
}

bool takes_pool(const std::string& subcommand) {
    return help_of({SEMACTL, subcommand}).find("\n  POOL ") != std::string::npos;
}

Words all_subcommands() {
    const std::string help = help_of({SEMACTL});
    return subcommands_in(help) + subcommand_aliases_in(help);
}

}  // namespace

TEST_CASE("a shell offers the subcommands") {
    check(any_shell(), {{"semactl ", all_subcommands()},
                        {"semactl re", {"return", "register", "resize", "revoke"}},
                        {"semactl --server http://localhost:1 --cacert x --output json -q who", {"who"}},
                        {"semactl --config=x --server=unix:/x who", {"who"}},
                        {"semactl completion ", {"bash", "zsh", "fish"}},
                        {"semactl completion z", {"zsh"}},
                        {"semactl completion zsh b", {}},
                        {"semactl help ", all_subcommands()},
                        {"semactl help re", {"return", "register", "resize", "revoke"}},
                        {"semactl help run v", {}},
                        {"semactl ping v", {}},
                        {"semactl new v", {}}});
}

TEST_CASE("a shell offers each subcommand the flags of its help") {
    const Shell shell = any_shell();
    CAPTURE(shell.kind());
    const Words global = flags_in(help_of({SEMACTL}));
    std::map<std::string, Words> flags = {{"semactl -", global}, {"semad -", flags_in(help_of({SEMAD}))}};
    for (const std::string& name : all_subcommands())
        flags["semactl " + name + " -"] = global + flags_in(help_of({SEMACTL, name}));
    CHECK(flags["semactl run -"].size() > global.size() + 10);
    flags["semactl run vsim -"] = flags["semactl run -"] + Words{"--"};
    check(shell, {flags.begin(), flags.end()});
}

TEST_CASE("a shell offers the subcommands of semad") {
    const Shell shell = any_setup();
    Expectations expectations;
    for (const std::string& name : subcommands_in(help_of({SEMAD})))
        expectations.push_back({"semad " + name.substr(0, 3), {name}});
    CHECK(expectations.size() >= 3);
    check(shell, expectations);
}

TEST_CASE("a shell offers the values of flags") {
    const Shell shell = any_setup();
    Expectations expectations = {
        {"semactl --output ", {"text", "json"}},
        {"semactl --output=", {"--output=text", "--output=json"}},
        {"semactl ping --output=j", {"--output=json"}},
        {"semactl run --on-lost ig", {"ignore"}},
        {"semactl run --on-lost=ig", {"--on-lost=ignore"}},
        {"semactl run vsim --fallback ", {"fail", "run"}},
        {"semactl run vsim --fallback=", {"--fallback=fail", "--fallback=run"}},
        {"semactl register vsim --renewable ", {"yes", "no"}},
        {"semactl register --renewable=y", {"--renewable=yes"}},
        {"semactl --server h", {"http://", "https://"}},
        {"semactl --config no", {"notes.txt"}},
        {"semactl --config=no", {"--config=notes.txt"}},
        {"semactl --cacert no", {"notes.txt"}},
        {"semactl run --cert no", {"notes.txt"}},
        {"semactl ping --key=no", {"--key=notes.txt"}},
        {"semactl run --ttl ", {}},
        {"semactl run -I ", {}},
        {"semactl run -E ", {}},
        {"semactl new --save ", {}},
        {"semactl pools --admin-token ", references},
        {"semactl pools --admin-token=fi", {"--admin-token=file:"}},
        {"semactl pools --admin-token=file:no", {"--admin-token=file:notes.txt"}},
        {"semactl pools --admin-token env:HOM", {"env:HOME"}},
        {"semad --admin-token-file no", {"notes.txt"}},
        {"semad --admin-token-file=no", {"--admin-token-file=notes.txt"}},
        {"semad --config no", {"notes.txt"}},
        {"semad --config=no", {"--config=notes.txt"}},
        {"semad check --config no", {"notes.txt"}},
        {"semad check --rel", {"--reload"}},
        {"semad check --config x --rel", {"--reload"}},
        {"semad --rel", {}},
        {"semad --log-format ", {"text", "json"}},
        {"semad --log-format=t", {"--log-format=text"}},
        {"semad --log-level=", with_prefix("--log-level=", {"debug", "info", "warn", "error", "off"})},
        {"semad --store ",
         {"sqlite:", "memory:", "postgresql://", "redis://", "rediss://", "redis+unix://",
          "redis+sentinel://"}},
        {"semad --store redis+u", {"redis+unix://"}},
        {"semad --store=m", {"--store=memory:"}},
        {"semad --store sqlite:no", {"sqlite:notes.txt"}},
        {"semad --store=sqlite:no", {"--store=sqlite:notes.txt"}},
        {"semad --listen localhost:", {}},
        {"semad --socket-group roo", {"root"}},
        {"semad --socket-group=roo", {"--socket-group=root"}},
        {"semad --socket-mode ", {}},
        {"semad --threads ", {}}};
    check(shell, expectations);
}

TEST_CASE("the value of an option is no pool and no subcommand") {
    const Shell shell = any_shell();
    CAPTURE(shell.kind());
    const Words global = value_flags_in(help_of({SEMACTL}));
    Words all = global;
    Expectations expectations;
    for (const std::string& name : all_subcommands()) {
        const Words own = value_flags_in(help_of({SEMACTL, name}));
        all.insert(own.begin(), own.end());
        if (!takes_pool(name)) continue;
        for (const std::string& flag : global + own)
            expectations.emplace_back("semactl " + name + " " + flag + " 5 ",
                                      flag == "--config" ? references : aliases + references);
    }
    // The functions of these two read an option's value by the option's name, wherever it stands.
    if (!shell.is("zsh")) {
        for (const std::string& flag : all)
            expectations.emplace_back("semactl " + flag + " 5 ", all_subcommands());
    }
    CHECK(all.size() > 20);
    check(shell, expectations);
}

TEST_CASE("a shell offers the configuration file's aliases as pools") {
    const Words pools = aliases + references;
    Expectations expectations = {{"semactl run v", {"vsim"}},
                                 {"semactl --output json borrow --ttl 5 q", {"quoted"}},
                                 {"semactl run env:HOM", {"env:HOME"}},
                                 {"semactl run file:no", {"file:notes.txt"}},
                                 {"semactl return vsim ", Words{"env:SEMA_LEASE"} + references},
                                 {"semactl return vsim env:HOM", {"env:HOME"}},
                                 {"semactl keepalive vsim env:SEMA_L", {"env:SEMA_LEASE"}},
                                 {"semactl return vsim env:X e", {}},
                                 {"semactl resize vsim ", {"+1", "-1"}},
                                 {"semactl inspect vsim g", {}}};
    for (const std::string& name : all_subcommands()) {
        if (takes_pool(name)) expectations.emplace_back("semactl " + name + " ", pools);
    }
    CHECK(expectations.size() > 20);
    check(any_shell(), expectations);
}

TEST_CASE("a shell reads the aliases from the file that semactl would read") {
    const Home home;
    home.configure("other/semactl/config.toml", "other");
    home.configure("named.toml", "named");
    home.configure("variable.toml", "variable");
    const Shell shell = any_shell();

    check(shell,
          {{"semactl --config named.toml run ", Words{"named"} + references},
           {"semactl --config=named.toml inspect ", Words{"named"} + references},
           {"semactl run --config ~/named.toml ", Words{"named"} + references},
           {"semactl borrow --config '" + home.path() + "/named.toml' n", {"named"}},
           {"semactl --config absent.toml run ", references},
           {"semactl --config . run ", references}},
          home.options);
    ProgramOptions options = home.options;
    options.environment["XDG_CONFIG_HOME"] = home.path() + "/other";
    check(shell, {{"semactl run ", Words{"other"} + references}}, options);
    options.environment["SEMACTL_CONFIG"] = home.path() + "/variable.toml";
    check(shell,
          {{"semactl run ", Words{"variable"} + references},
           {"semactl --config named.toml run ", Words{"named"} + references}},
          options);
}

TEST_CASE("a shell offers pools until -- and does not offer one twice") {
    const Words more = references + Words{"--"};
    check(any_setup(), {{"semactl run vsim ", aliases - Words{"vsim"} + more},
                        {"semactl run --ttl 5 -q vsim gpu --wait=3 ", aliases - Words{"vsim", "gpu"} + more},
                        {"semactl run env:A vsim ", aliases - Words{"vsim"} + more},
                        {"semactl run vsim env:A t", {"table"}},
                        {"semactl run vsim 9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01 t", {"table"}},
                        {"semactl run vsim gpu --dry", {"--dry-run"}},
                        {"semactl run vsim gpu --on-lost=t", {"--on-lost=term"}}});
}

TEST_CASE("a shell completes the command that semactl runs as it is on its own") {
    const Shell shell = any_setup();
    Expectations expectations = {{"semactl run vsim -- sema-t", {"sema-tool"}},
                                 {"semactl run vsim gpu --ttl 5 -- sema-t", {"sema-tool"}},
                                 {"semactl run -- sema-t", {"sema-tool"}},
                                 {"semactl run file:x --wait=3 -- sema-t", {"sema-tool"}},
                                 {"semactl run vsim sema-t", {"sema-tool"}},
                                 {"semactl run env:X --ttl 5 sema-t", {"sema-tool"}},
                                 {"semactl run vsim -- cat no", {"notes.txt"}},
                                 {"semactl run vsim cat no", {"notes.txt"}},
                                 {"semactl run vsim -- cat vsi", {}},
                                 {"semactl run vsim -- sema-tool --dry", {}},
                                 {"semactl run vsim -- sema-tool run --on-l", {}},
                                 {"semactl run vsim sema-tool --dry", {}}};
    // Bash alone has nothing for that.
    if (shell.is("completion") || !shell.is("bash")) {
        expectations.insert(expectations.end(),
                            {{"semactl run vsim -- semad --log-format ", {"text", "json"}},
                             {"semactl run vsim semad --log-format=j", {"--log-format=json"}},
                             {"semactl run --ttl 5 vsim gpu -- semad --th", {"--threads"}},
                             {"semactl run env:X -- semactl run g", {"gpu"}},
                             {"semactl run vsim -- semactl run gpu -- sema-t", {"sema-tool"}}});
    }
    check(shell, expectations);
}

TEST_CASE("a -- behind the cursor makes all words before it pools") {
    const Shell shell(GENERATE(as<std::string>{}, "bash", "bash with bash-completion", "zsh"));
    check(shell, {{"semactl run vsim g| -- sema-tool", {"gpu"}},
                  {"semactl run vsim sema| -- sema-tool", {}},
                  {"semactl run vsim unknown t| -- sema-tool", {"table"}},
                  {"semactl run | -- sema-tool", aliases + references}});
}

TEST_CASE("Tab writes what is the only word") {
    const Home home;
    const Shell shell = any_setup();
    CAPTURE(shell.kind());
    CHECK(
        shell.arguments_from("semactl run --output=j\tfil\tno\tenv:HOM\tvs\t-- sema-t\tno\t", home.options) ==
        "[run][--output=json][file:notes.txt][env:HOME][vsim][--][sema-tool][notes.txt]");
}
