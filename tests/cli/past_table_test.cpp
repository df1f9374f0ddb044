#include "cli/pool_table.hpp"
#include "cli/text_width.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <cstdlib>

// What people are shown of a pool's past.

using namespace sema;
using namespace std::chrono_literals;

namespace {

using Lines = std::vector<std::string>;

std::string all(const Lines& lines) {
    std::string text;
    for (const std::string& line : lines)
        text += line + "\n";
    return text;
}

wire::PoolHistory history_of(const std::string& name, std::optional<std::string> url = {}) {
    wire::PoolHistory history;
    history.history.push_back({.position = 1,
                               .positions = {1, 2},
                               .holder = std::make_shared<const Holder>(Holder{name, std::move(url)}),
                               .fence = 17,
                               .waited = 840s,
                               .granted_at_unix = 1000,
                               .ended_at_unix = 1720,
                               .how = "returned"});
    return history;
}

// More than any of these histories has.
constexpr std::size_t limit = 100;

wire::PoolStatistics statistics_of(unsigned count) {
    wire::PoolStatistics statistics{.count = count, .granted = 245, .refusals = 1};
    statistics.since_unix = 0;
    for (int i = 0; i < 48; ++i)
        statistics.use.push_back({i * 3600, count, i < 24 ? 2.0 : 0.0, i == 0 ? 3.0 : 0.0});
    statistics.waits = {14min, 2h, 11'400s};
    statistics.holders.push_back({"ann", 12, 3h});
    statistics.holders.push_back({std::nullopt, 1, 40ms});
    return statistics;
}

}  // namespace

TEST_CASE("a history tells who had which slot, when, and how that ended") {
    setenv("TZ", "UTC", 1);
    CHECK(all(history_table(history_of("ann"), "vsim", limit, {})) ==
          "vsim: 1 lease that ended\n"
          "\n"
          "POSITION  HOLDER  FROM              TO     HOW       FENCE  HELD FOR  WAITED\n"
          "1-2       ann     1970-01-01 00:16  00:28  returned  17     12m       14m\n");
    wire::PoolHistory brief = history_of("ann");
    brief.history[0].ended_at_unix = 1012;
    CHECK(all(history_table(brief, "vsim", limit, {})).find("1970-01-01 00:16:40  00:16:52  ") !=
          std::string::npos);
    wire::PoolHistory none;
    none.name = "boards";
    CHECK(all(history_table(none, "vsim", limit, {})) == "vsim (boards): 0 leases that ended\n");
    none.name = "vsim";
    CHECK(all(history_table(none, "vsim", limit, {})) == "vsim: 0 leases that ended\n");
    none.name = "boards";
    none.kept_for = 60;
    CHECK(all(history_table(none, "vsim", limit, {})) == "vsim (boards): 0 leases that ended\n");
    none.kept_for = 0;
    CHECK(all(history_table(none, "vsim", limit, {})) ==
          "vsim (boards): 0 leases that ended\n"
          "The server keeps no history (semad --history 0).\n");
}

TEST_CASE("a history shows on a usual terminal how each lease ended") {
    setenv("TZ", "UTC", 1);
    const TableLayout terminal{.columns = 80};
    wire::PoolHistory history = history_of("ann-of-16-columns");
    CHECK(all(history_table(history, "vsim", limit, terminal)) ==
          "vsim: 1 lease that ended\n"
          "\n"
          "POSITION  HOLDER            FROM              TO     HOW       FENCE  HELD FOR\n"
          "1-2       ann-of-16-colum\u2026  1970-01-01 00:16  00:28  returned  17     12m\n");
    // The date is there where it is another one, and seconds where a lease was short.
    history.history.push_back(history.history[0]);
    history.history[0].ended_at_unix = 86'400 + 12;
    history.history[1].ended_at_unix = 1012;
    const std::string text = all(history_table(history, "vsim", limit, terminal));
    CHECK(text.find("  1970-01-01 00:16:40  1970-01-02 00:00:12  returned") != std::string::npos);
    CHECK(text.find("  1970-01-01 00:16:40  00:16:52             returned") != std::string::npos);
}

TEST_CASE("a history that may go on beyond its limit says so") {
    wire::PoolHistory history = history_of("ann");
    const auto heading = [&](std::size_t asked_for) {
        return history_table(history, "vsim", asked_for, {}).front();
    };
    CHECK(heading(1) == "vsim: the last lease that ended (--limit N for more)");
    history.history.push_back(history.history[0]);
    CHECK(heading(2) == "vsim: the last 2 leases that ended (--limit N for more)");
    CHECK(heading(3) == "vsim: 2 leases that ended");
    history.history.resize(most_past_leases, history.history[0]);
    CHECK(heading(most_past_leases) == "vsim: the last 10000 leases that ended");
}

TEST_CASE("names and links in a history steer no terminal") {
    TableLayout layout;
    layout.links = TableLayout::Links::hyperlink;
    const std::string text =
        all(history_table(history_of("\x1b]0;x\x07\nroot", "javascript:\x1b[31m"), "vsim", limit, layout));
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find('\x07') == std::string::npos);
    CHECK(std::count(text.begin(), text.end(), '\n') == 4);
    const std::string linked = all(history_table(history_of("ann", "https://ci/1"), "vsim", limit, layout));
    CHECK(linked.find("\x1b]8;;https://ci/1\x1b\\ann") != std::string::npos);
}

TEST_CASE("statistics have a chart, those who held longest, and what other counts would have done") {
    setenv("TZ", "UTC", 1);
    wire::PoolStatistics statistics = statistics_of(4);
    const Lines lines = statistics_table(statistics, "vsim", {});
    const std::string text = all(lines);
    CHECK(lines[0] == "vsim: 4 slots, 1.0 in use on an average since 1970-01-01 00:00");
    CHECK(lines[1] == "245 leases granted, 1 borrower got none");
    CHECK(lines[2] == "waits: half up to 14m, 95 % up to 2h, the longest 3h 10m");
    // Two steps make a line.
    CHECK(lines[5] == "1970-01-01 00:00  ###############..............+++++++++++  2.0 of 4  1.5");
    CHECK(lines[6] == "1970-01-01 02:00  ###############..............             2.0 of 4  0.0");
    CHECK(text.find("12      ann     3h\n") != std::string::npos);
    CHECK(text.find("1       -       40ms\n") != std::string::npos);
    CHECK(text.find("HALF WAIT") == std::string::npos);
    CHECK(text.find("keeps no history") == std::string::npos);
    statistics.what_if.push_back({.count = 4, .waits = {14min, 2h, 3h}, .refusals = 1});
    statistics.what_if.push_back({.count = 5, .waits = {2500ms, 31min, 1h}, .refusals = 0});
    const std::string with = all(statistics_table(statistics, "vsim", {}));
    CHECK(with.find("SLOTS  HALF WAIT UP TO  95 % UP TO  LONGEST  GOT NONE\n"
                    "4      14m              2h          3h       1         now\n"
                    "5      2.5s             31m         1h       0\n") != std::string::npos);
    CHECK(with.find("Assumed: ") != std::string::npos);
    for (const std::string& line : statistics_table(statistics, "vsim", {}))
        CHECK(width_of(line) <= 80);
}

TEST_CASE("statistics of a short time show seconds, and those of no history say so") {
    setenv("TZ", "UTC", 1);
    wire::PoolStatistics statistics{.kept_for = 0, .count = 1};
    for (int i = 0; i < 12; ++i)
        statistics.use.push_back({i * 10, 1, 0.0, 0.0});
    const Lines lines = statistics_table(statistics, "vsim", {});
    REQUIRE(lines.size() == 18);
    CHECK(lines[3] == "The server keeps no history (semad --history 0).");
    CHECK(lines[6].starts_with("1970-01-01 00:00:00  "));
    CHECK(lines[7].starts_with("1970-01-01 00:00:10  "));
}

TEST_CASE("statistics of nothing, of no slots, and of whatever a server says are shown") {
    wire::PoolStatistics nothing;
    CHECK(all(statistics_table(nothing, "vsim", {})).find("half up to -") != std::string::npos);
    wire::PoolStatistics odd = statistics_of(0);
    odd.use[0].in_use = 1e300;
    odd.use[1].queue = -5;
    odd.holders[0].name = "\x1b[2J";
    TableLayout narrow;
    narrow.columns = 40;
    for (const TableLayout& layout : {TableLayout{}, narrow}) {
        const Lines lines = statistics_table(odd, "vsim", layout);
        CHECK(all(lines).find('\x1b') == std::string::npos);
    }
    wire::PoolStatistics asked = statistics_of(4);
    asked.what_if.push_back({.count = 4, .waits = {14min, 2h, 3h}, .refusals = 1});
    for (const std::string& line : statistics_table(asked, "vsim", narrow))
        CHECK(width_of(line) <= 40);
}
