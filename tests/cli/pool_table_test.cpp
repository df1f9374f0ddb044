#include "cli/pool_table.hpp"

#include "cli/text_width.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <cstdlib>

using namespace sema;
using namespace std::chrono_literals;

namespace {

using Lines = std::vector<std::string>;

constexpr auto text_links = TableLayout::Links::text;
constexpr auto hyperlinks = TableLayout::Links::hyperlink;

std::shared_ptr<const Holder> somebody(const std::string& name, std::optional<std::string> url = {}) {
    return std::make_shared<const Holder>(Holder{name, std::move(url)});
}

// A pool of four, two of its slots held by one lease.
wire::PoolDetails view_of(std::shared_ptr<const Holder> holder) {
    wire::PoolDetails view;
    view.count = 4;
    view.in_use = 2;
    view.available = 2;
    view.holders = {{1, {1, 2}, std::move(holder), 1000, 1720, 60, 17}};
    return view;
}

std::string all(const Lines& lines) {
    std::string text;
    for (const std::string& line : lines)
        text += line + "\n";
    return text;
}

std::string table(const wire::PoolDetails& view, TableLayout layout = {}, Duration age = 0s) {
    return all(pool_table(view, "vsim", age, layout));
}

// As a terminal shows it.
std::string without_hyperlinks(std::string text) {
    for (auto at = text.find("\x1b]8;;"); at != std::string::npos; at = text.find("\x1b]8;;"))
        text.erase(at, text.find("\x1b\\", at) + 2 - at);
    return text;
}

}  // namespace

TEST_CASE("a table tells who holds and who waits") {
    setenv("TZ", "UTC", 1);
    wire::PoolDetails view = view_of(somebody("ann@build7", "https://ci.example/7"));
    view.settings.name = "Questa licences";
    view.settings.cooldown = 30s;
    view.settings.renewable = false;
    view.eta = 240;
    view.available = 0;
    view.queue = {{1, 1, 0, somebody("bob"), 5}, {2, 3, -5, nullptr, 3700, true}};
    CHECK(table(view) ==
          "vsim (Questa licences): 2 of 4 in use, 0 available, cooldown 30s, leases not "
          "renewable, next slot "
          "in "
          "about 4m\n"
          "\n"
          "POSITION  HOLDER      HELD FOR  EXPIRES IN  FENCE  SINCE             URL\n"
          "1-2       ann@build7  11m       1m          17     1970-01-01 00:16  https://ci.example/7\n"
          "\n"
          "RANK  WAITER  SLOTS  PRIORITY  WAITING FOR\n"
          "1     bob     1      0         5s\n"
          "2     -       3      -5        1h 1m, away\n");
    view.settings.name = "vsim";
    CHECK(table(view).starts_with("vsim: 2 of 4 in use"));
}

TEST_CASE("slots out of service have a table of their own, with the reasons") {
    wire::PoolDetails view;
    view.count = 3;
    view.out = {{0, wire::SlotState::Out{"fan is\x1b[2J broken", 1000}}, {2, wire::SlotState::Out{"", 2000}}};
    view.available = 1;
    CHECK(table(view) ==
          "vsim: 0 of 3 in use, 1 available, 2 out of service\n"
          "\n"
          "POSITION  OUT OF SERVICE     SINCE\n"
          "0         fan is [2J broken  1970-01-01 00:16\n"
          "2         -                  1970-01-01 00:33\n");
    CHECK(describe_out(view.out[0]) == "out of service since 1970-01-01 00:16: fan is [2J broken");
    CHECK(describe_out(view.out[1]) == "out of service since 1970-01-01 00:33");
}

TEST_CASE("slots that rest are said to, with the cooldown") {
    wire::PoolDetails view = view_of(somebody("ann"));
    view.settings.cooldown = 5s;
    CHECK_THAT(table(view), sema::test::has_text(" available, cooldown 5s\n"));
    view.resting = {{.position = 3, .until_unix = 2000}};
    CHECK_THAT(table(view), sema::test::has_text(" available, 1 resting for the cooldown of 5s\n"));
}

TEST_CASE("whose lease a revoke would end is told in a line") {
    const wire::PoolDetails view = view_of(somebody("ann\n@build7", "https://ci.example/7"));
    CHECK(describe_lease(view.holders[0]) == "ann @build7 (https://ci.example/7) for 11m, up to 1m more");
    CHECK(describe_lease(view_of(nullptr).holders[0]) == "a holder without a name for 11m, up to 1m more");
}

TEST_CASE("a pool that lends the idlest slot says so") {
    wire::PoolDetails view;
    view.settings.pick = Pick::idle;
    CHECK(table(view) == "vsim: 0 of 0 in use, 0 available, idlest slot first\n");
}

TEST_CASE("where a slot is free none is said to come") {
    wire::PoolDetails view = view_of(nullptr);
    view.eta = 240;
    CHECK_THAT(table(view), sema::test::has_text("2 available\n"));
    view.available = 0;
    CHECK_THAT(table(view), sema::test::has_text("0 available, next slot in about 4m\n"));
}

TEST_CASE("a server's pools are a table by name, and those without one come last") {
    const auto pool = [](char digit, const std::string& name, std::size_t queue = 0) {
        return wire::PoolList::Entry{*PoolId::parse(std::string(32, digit)), name, 12, 3, 9, queue};
    };
    const wire::PoolList list{{pool('1', ""), pool('2', "vsim"), pool('3', ""), pool('4', "boards", 70)}};
    CHECK(all(pool_list_table(list, 0)) ==
          "NAME    COUNT  IN USE  AVAILABLE  WAITING  ID\n"
          "boards  12     3       9          70       44444444-4444-4444-4444-444444444444\n"
          "vsim    12     3       9          0        22222222-2222-2222-2222-222222222222\n"
          "-       12     3       9          0        11111111-1111-1111-1111-111111111111\n"
          "-       12     3       9          0        33333333-3333-3333-3333-333333333333\n");
    CHECK(pool_list_table({}, 80).size() == 1);
}

TEST_CASE("of a table of pools only long names are shortened, and control nothing") {
    const PoolId id = *PoolId::parse(std::string(32, '1'));
    const wire::PoolList list{{{id, "Questa\x1b[2J\nlicences of the lab", 1, 0, 1, 0}}};
    CHECK(pool_list_table(list, 0).at(1) ==
          "Questa [2J licences of the lab  1      0       1          0        "
          "11111111-1111-1111-1111-111111111111");
    CHECK(pool_list_table(list, 100).at(1).substr(0, 33) == "Questa [2J licences of the\u2026  1 ");
    // No longer than a usual terminal is wide: the id tells one pool from another.
    for (const std::string& line : pool_list_table(list, 80))
        CHECK(width_of(line) <= 80);
    CHECK_THAT(pool_list_table(list, 80).at(1), Catch::Matchers::StartsWith("Questa\u2026  1 "));
    // Longer than the terminal is wide, and whole.
    CHECK_THAT(pool_list_table(list, 40).at(1),
               Catch::Matchers::StartsWith("Questa [2J lice\u2026  1 ") &&
                   Catch::Matchers::EndsWith("11111111-1111-1111-1111-111111111111"));
}

TEST_CASE("a pool that nobody uses has a line of its own only") {
    wire::PoolDetails view;
    view.count = view.available = 4;
    CHECK(table(view) == "vsim: 0 of 4 in use, 4 available\n");
}

TEST_CASE("a table's times go on while its view grows older") {
    const std::string later = table(view_of(somebody("ann")), {}, 10s);
    CHECK_THAT(later, sema::test::has_text("  11m 10s   50s  "));
    CHECK_THAT(table(view_of(somebody("ann")), {}, 90s), sema::test::has_text("  12m 30s   0s  "));
}

TEST_CASE("positions in a row are a range") {
    CHECK(describe_positions({}) == "");
    CHECK(describe_positions({3}) == "3");
    CHECK(describe_positions({0, 1, 2, 5, 7, 8}) == "0-2,5,7-8");
}

TEST_CASE("no text of a holder or of a pool steers the terminal") {
    const std::string hostile =
        "a\x1b]0;title\x07\x1b[2J\r\nb\xc2\x9b"
        "31m\xe2\x80\xae"
        "c\x7f";
    wire::PoolDetails view = view_of(somebody(hostile, "https://x/\x1b]8;;evil\x1b\\"));
    view.settings.name = hostile;
    view.queue = {{1, 1, 0, somebody(hostile, "javascript:" + hostile), 5}};
    for (const auto links : {text_links, hyperlinks}) {
        for (const Lines& lines :
             {pool_table(view, "vsim", 0s, {links, 0, 0}), pool_table(view, "vsim", 0s, {links, 60, 0})}) {
            for (const std::string& line : lines) {
                CHECK(std::none_of(line.begin(), line.end(),
                                   [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
                CHECK(line.find("\xc2\x9b") == std::string::npos);
                CHECK(line.find("\xe2\x80\xae") == std::string::npos);
            }
        }
    }
    CHECK_THAT(table(view), sema::test::has_text("a ]0;title  [2J  b 31m c "));
}

TEST_CASE("a link that can be trusted is a hyperlink on a terminal and text elsewhere") {
    const wire::PoolDetails view = view_of(somebody("ann", "https://ci.example/7?a=b#c"));
    const TableLayout terminal{hyperlinks, 0, 0};
    CHECK_THAT(table(view, terminal),
               sema::test::has_text("1-2       \x1b]8;;https://ci.example/7?a=b#c\x1b\\"
                                    "ann\x1b]8;;\x1b\\     11m"));
    CHECK_THAT(without_hyperlinks(table(view, terminal)), !sema::test::has_text("URL"));
    CHECK_THAT(table(view), sema::test::has_text("  https://ci.example/7?a=b#c\n"));

    const wire::PoolDetails unnamed = view_of(std::make_shared<const Holder>(Holder{{}, "http://x"}));
    CHECK_THAT(table(unnamed, terminal), sema::test::has_text("\x1b\\http://x\x1b]8;;\x1b\\"));
    const wire::PoolDetails untrusted = view_of(somebody("ann", "ftp://x"));
    CHECK_THAT(table(untrusted, terminal), sema::test::has_text("  ftp://x\n"));
}

TEST_CASE("only visible web addresses are linkable") {
    CHECK(is_linkable("http://x"));
    CHECK(is_linkable("https://ci.example/job/7"));
    for (const char* url : {"", "http://", "https", "ftp://x", "javascript:alert(1)", "file:///etc",
                            "http://a b", "http://a\x1b\\", "http://a\x07", "http://\xc3\xa9", "HTTP://x"})
        CHECK_FALSE(is_linkable(url));
}

TEST_CASE("a table for a terminal is no wider and no longer than that") {
    wire::PoolDetails view = view_of(somebody(std::string(200, 'n'), "https://ci.example/7"));
    for (unsigned i = 0; i < 30; ++i)
        view.queue.push_back({i + 1, 1, 0, somebody("\xe6\xbc\xa2\xe5\xad\x97 \xc3\xa9t\xc3\xa9"), 5});
    for (const std::size_t columns : {1U, 2U, 5U, 20U, 40U, 79U, 80U, 300U}) {
        for (const std::size_t rows : {1U, 2U, 10U, 100U}) {
            const Lines lines = pool_table(view, "vsim", 0s, {hyperlinks, columns, rows});
            CHECK(lines.size() <= rows);
            for (const std::string& line : lines)
                CHECK(width_of(without_hyperlinks(line)) <= columns);
        }
    }
    CHECK_THAT(table(view, {hyperlinks, 80, 10}), Catch::Matchers::EndsWith("\n(27 lines more)\n"));
    // What else there is of the holder is there.
    CHECK_THAT(without_hyperlinks(table(view, {hyperlinks, 80, 0})),
               sema::test::has_text("nnn\u2026  11m       1m"));
}

TEST_CASE("a text in ASCII takes as many columns as before") {
    for (const std::string text :
         {"a \u2026 b \u00b7 \u00e9t\u00e9", "\u6f22\u5b57 e\u0301 \U0001f512", "\x1b[K~"}) {
        const std::string ascii = in_ascii(text);
        CAPTURE(ascii);
        CHECK(std::all_of(ascii.begin(), ascii.end(), [](unsigned char c) { return c < 0x80; }));
        CHECK(width_of(ascii) == width_of(text));
    }
    CHECK(in_ascii("a\u2026 \u00b7 \u00e9t\u00e9") == "a+ | ?t?");
    CHECK(in_ascii("\xff\xc3") == "??");
}

TEST_CASE("text is cut by the columns it takes") {
    CHECK(width_of("") == 0);
    CHECK(width_of("\xc3\xa9t\xc3\xa9") == 3);
    CHECK(width_of("e\xcc\x81") == 1);
    CHECK(width_of("\xe6\xbc\xa2\xe5\xad\x97") == 4);
    CHECK(width_of("\u2705 \u2b50 \u26a1") == 8);
    CHECK(width_of("\u2713 \u2606 \u26a0") == 5);
    // A flag.
    CHECK(width_of("\U0001f1e9\U0001f1ea") == 2);
    CHECK(cut_to("abc", 3) == "abc");
    CHECK(cut_to("abcd", 3) == "ab\u2026");
    CHECK(cut_to("\xe6\xbc\xa2\xe5\xad\x97", 3) == "\xe6\xbc\xa2\u2026");
    CHECK(cut_to("\xe6\xbc\xa2\xe5\xad\x97", 2) == "\u2026");
    CHECK(cut_to("abcd", 0) == "");
}
