#include "tests/e2e/monitored.hpp"

#include <iterator>
#include <regex>
#include <set>

using namespace sema::test;

namespace {

std::string content(const std::string& file) {
    std::ifstream stream(std::string(PROJECT_FOLDER) + "/" + file);
    REQUIRE(stream);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// The metrics that a text names, with the suffixes of a histogram's series.
std::set<std::string> metrics_in(const std::string& text) {
    std::set<std::string> names;
    const std::regex name("\\b(sema|process)_[a-z_]+");
    for (std::sregex_iterator it(text.begin(), text.end(), name), end; it != end; ++it)
        names.insert(it->str());
    return names;
}

/// All series that semad has.
std::set<std::string> known_series() {
    const MonitoredServer server;
    const std::string text = server.metrics();
    std::set<std::string> known;
    for (const std::string& name : metric_names(text)) {
        known.insert(name);
        if (text.find("\n" + name + "_bucket{") == text.npos) continue;
        for (const char* suffix : {"_bucket", "_sum", "_count"})
            known.insert(name + suffix);
    }
    return known;
}

}  // namespace

TEST_CASE("the alert rules are right, and alert when they should") {
    const std::string folder = PROJECT_FOLDER;
    const Finished checked =
        run_program({promtool(), "check", "rules", folder + "/docs/monitoring/sema-alerts.yml"});
    INFO(checked.out << checked.err);
    CHECK(checked.status == 0);
    const Finished tested =
        run_program({promtool(), "test", "rules", folder + "/tests/monitoring/alerts_test.yml"});
    INFO(tested.out << tested.err);
    CHECK(tested.status == 0);
}

TEST_CASE("the dashboard and the alert rules ask for metrics that there are") {
    const std::set<std::string> known = known_series();
    const auto check = [&](const std::string& query) {
        CAPTURE(query);
        for (const std::string& name : metrics_in(query))
            CHECK(known.count(name) == 1);
    };
    const Json dashboard = Json::parse(content("docs/monitoring/sema-dashboard.json"));
    std::size_t queries = 0;
    for (const Json& panel : dashboard.at("panels")) {
        for (const Json& target : panel.at("targets")) {
            check(target.at("expr"));
            ++queries;
        }
    }
    CHECK(queries > 20);
    for (const Json& variable : dashboard.at("templating").at("list"))
        check(variable.value("definition", ""));
    check(content("docs/monitoring/sema-alerts.yml"));
    check(content("README.md"));
}

TEST_CASE("promtool reads every query of the dashboard") {
    const Json dashboard = Json::parse(content("docs/monitoring/sema-dashboard.json"));
    const TempDir folder;
    const auto file = folder.path() / "rules.yml";
    std::ofstream rules(file);
    rules << "groups:\n  - name: dashboard\n    rules:\n";
    int number = 0;
    for (const Json& panel : dashboard.at("panels")) {
        for (const Json& target : panel.at("targets")) {
            std::string query = target.at("expr");
            for (auto at = query.find("$__rate_interval"); at != query.npos;
                 at = query.find("$__rate_interval"))
                query.replace(at, 16, "5m");
            rules << "      - record: panel:" << ++number << "\n        expr: |-\n          " << query
                  << "\n";
        }
    }
    rules.close();
    const Finished checked = run_program({promtool(), "check", "rules", file.string()});
    INFO(checked.out << checked.err);
    CHECK(checked.status == 0);
}
