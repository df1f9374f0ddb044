#include "cli/pool_table.hpp"

#include "cli/console.hpp"
#include "cli/text_width.hpp"
#include "common/wrapped_text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <memory>
#include <sstream>
#include <utility>

namespace sema {
namespace {

using std::chrono::seconds;

// A shorter part of a name does not tell two names apart.
constexpr std::size_t shortest_name = 16;
// An id does: this much of a name is enough to find its line.
constexpr std::size_t shortest_beside_id = 6;
constexpr std::size_t gap = 2;
// Where the names stand, in a pool's tables.
constexpr std::size_t name_column = 1;
constexpr const char* nobody = "-";

struct Cell {
    std::string text;
    /// What the text links to; empty where it is only text.
    std::string link{};
};
using Row = std::vector<Cell>;

enum class Precision { minute, second };

std::string local_time(std::int64_t unix_time, Precision precision = Precision::minute) {
    const char* const format = precision == Precision::minute ? "%F %H:%M" : "%F %T";
    const auto time = static_cast<std::time_t>(unix_time);
    std::tm parts{};
    char text[32] = "";
    if (localtime_r(&time, &parts) == nullptr || std::strftime(text, sizeof text, format, &parts) == 0)
        return "?";
    return text;
}

std::string described(std::int64_t whole) {
    return describe(seconds(std::clamp<std::int64_t>(whole, 0, longest_duration / seconds(1))));
}

// The name's cell and the URL's.
std::pair<Cell, Cell> cells_of(const Holder* holder, TableLayout::Links links) {
    const std::string name = holder ? printable(holder->name.value_or("")) : "";
    // The mark that schedulers write of a task is not for people, who see its name.
    const bool is_task = holder != nullptr && mark_of_task(*holder);
    const std::string url = holder && !is_task ? holder->url.value_or("") : "";
    const bool linked = links == TableLayout::Links::hyperlink && is_linkable(url);
    const std::string shown = !name.empty() ? name : linked ? url : nobody;
    return {Cell{shown, linked ? url : ""}, Cell{linked ? "" : printable(url)}};
}

// What the pool was called on the command line, and its name where that is another one.
std::string pool_heading(const std::string& pool, const std::string& name) {
    return printable(pool) + (name.empty() || name == pool ? "" : " (" + printable(name) + ")");
}

std::string heading(const wire::PoolDetails& view, const std::string& pool, std::int64_t age) {
    std::string text = pool_heading(pool, view.settings.name) + ": " + std::to_string(view.in_use) + " of " +
                       std::to_string(view.count) + " in use, " + std::to_string(view.available) +
                       " available";
    if (!view.out.empty()) text += ", " + std::to_string(view.out.size()) + " out of service";
    if (!view.resting.empty())
        text += ", " + std::to_string(view.resting.size()) + " resting for the cooldown of " +
                describe(view.settings.cooldown);
    else if (view.settings.cooldown > Duration::zero())
        text += ", cooldown " + describe(view.settings.cooldown);
    if (view.settings.pick == Pick::idle) text += ", idlest slot first";
    if (!view.settings.renewable) text += ", leases not renewable";
    // A free slot is kept for the queue: the estimate for a newcomer says nothing of that slot.
    if (view.available == 0 && view.eta && *view.eta - age > 0)
        text += ", next slot in about " + described(*view.eta - age);
    return text;
}

std::vector<Row> holder_rows(const wire::PoolDetails& view, std::int64_t age, TableLayout::Links links) {
    std::vector<Row> rows = {
        {{"POSITION"}, {"HOLDER"}, {"HELD FOR"}, {"EXPIRES IN"}, {"FENCE"}, {"SINCE"}, {"URL"}}};
    for (const auto& entry : view.holders) {
        const auto [name, url] = cells_of(entry.holder.get(), links);
        // By the server's clock: ours may differ.
        const std::int64_t now = entry.expires_at_unix - entry.expires_in + age;
        rows.push_back({{describe_positions(entry.positions)},
                        name,
                        {described(now - entry.granted_at_unix)},
                        {described(entry.expires_in - age)},
                        {std::to_string(entry.fence)},
                        {local_time(entry.granted_at_unix)},
                        url});
    }
    return rows;
}

std::vector<Row> queue_rows(const wire::PoolDetails& view, std::int64_t age, TableLayout::Links links) {
    std::vector<Row> rows = {{{"RANK"}, {"WAITER"}, {"SLOTS"}, {"PRIORITY"}, {"WAITING FOR"}, {"URL"}}};
    for (const auto& entry : view.queue) {
        const auto [name, url] = cells_of(entry.holder.get(), links);
        rows.push_back({{std::to_string(entry.rank)},
                        name,
                        {std::to_string(entry.slots)},
                        {std::to_string(entry.priority)},
                        {described(entry.waiting_for + age) + (entry.away       ? ", away"
                                                               : entry.callback ? ", to be called"
                                                                                : "")},
                        url});
    }
    return rows;
}

std::vector<Row> out_rows(const wire::PoolDetails& view) {
    std::vector<Row> rows = {{{"POSITION"}, {"OUT OF SERVICE"}, {"SINCE"}}};
    for (const wire::SlotState& slot : view.out) {
        const std::string reason = printable(slot.out->reason);
        rows.push_back({{std::to_string(slot.position)},
                        {reason.empty() ? nobody : reason},
                        {local_time(slot.out->since_unix)}});
    }
    return rows;
}

// A last column that says nothing but its name is left out.
void drop_empty_last(std::vector<Row>& rows) {
    const bool empty =
        std::all_of(rows.begin() + 1, rows.end(), [](const Row& row) { return row.back().text.empty(); });
    if (!empty) return;
    for (Row& row : rows)
        row.pop_back();
}

std::vector<std::size_t> widths_of(const std::vector<Row>& rows) {
    std::vector<std::size_t> widths(rows.front().size());
    for (const Row& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], width_of(row[i].text));
    }
    return widths;
}

// Where the rest fits only beside a name shorter than `shortest`, lines are longer than the bound.
void shorten_names(std::vector<Row>& rows, std::size_t names, std::size_t columns,
                   std::size_t shortest = shortest_name) {
    const std::vector<std::size_t> widths = widths_of(rows);
    std::size_t rest = gap * (widths.size() - 1);
    for (std::size_t i = 0; i < widths.size(); ++i)
        rest += i == names ? 0 : widths[i];
    const std::size_t room = columns >= rest + shortest ? columns - rest : shortest_name;
    for (Row& row : rows)
        row[names].text = cut_to(row[names].text, room);
}

std::string hyperlink(const std::string& text, const std::string& url) {
    return "\x1b]8;;" + url + "\x1b\\" + text + "\x1b]8;;\x1b\\";
}

std::string line_of(const Row& row, const std::vector<std::size_t>& widths, std::size_t columns) {
    std::string line;
    std::size_t used = 0;
    std::size_t padding = 0;
    for (std::size_t i = 0; i < row.size() && !(columns > 0 && used + padding >= columns); ++i) {
        const std::string text = columns > 0 ? cut_to(row[i].text, columns - used - padding) : row[i].text;
        if (!text.empty()) {
            line.append(padding, ' ');
            line += row[i].link.empty() ? text : hyperlink(text, row[i].link);
            used += padding + width_of(text);
            padding = 0;
        }
        padding += widths[i] - std::min(widths[i], width_of(text)) + gap;
    }
    return line;
}

void append(std::vector<std::string>& lines, std::vector<Row> rows, const TableLayout& layout) {
    drop_empty_last(rows);
    if (layout.columns > 0) shorten_names(rows, name_column, layout.columns);
    const std::vector<std::size_t> widths = widths_of(rows);
    lines.emplace_back();
    for (const Row& row : rows)
        lines.push_back(line_of(row, widths, layout.columns));
}

void append_wrapped(std::vector<std::string>& lines, std::string_view text, const TableLayout& layout) {
    constexpr std::size_t usual_columns = 80;
    std::istringstream wrapped_text(
        wrapped(text, layout.columns > 0 ? std::min(layout.columns, usual_columns) : usual_columns));
    for (std::string line; std::getline(wrapped_text, line);)
        lines.push_back(line);
}

// Such as 14m, 2.5s or 40ms.
std::string described(Duration time) {
    if (time >= seconds(10) || time == Duration::zero()) return describe(time);
    const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    if (count < 1000) return std::to_string(count) + "ms";
    return std::to_string(count / 1000) + "." + std::to_string(count % 1000 / 100) + "s";
}

std::string described(const std::optional<Duration>& time) {
    return time ? described(*time) : "-";
}

std::string in_tenths(double number) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f", std::clamp(number, 0.0, 1e9));
    return text.data();
}

std::string counted(std::size_t number, const char* one, const char* several) {
    return std::to_string(number) + " " + (number == 1 ? one : several);
}

// How many leases a history has. There may be more where it has as many as were asked for.
std::string described_number(std::size_t number, std::size_t limit) {
    if (number < limit) return counted(number, "lease that ended", "leases that ended");
    return "the last " + (number == 1 ? "lease" : std::to_string(number) + " leases") + " that ended" +
           (limit < most_past_leases ? " (--limit N for more)" : "");
}

// The later of two local times: without its date where that is the other's.
std::string without_date_of(const std::string& earlier, const std::string& later) {
    const auto date = earlier.find(' ') + 1;
    return date > 0 && later.compare(0, date, earlier, 0, date) == 0 ? later.substr(date) : later;
}

/// Some steps together.
struct ChartLine {
    std::int64_t at_unix = 0;
    unsigned count = 0;
    double in_use = 0;
    double queue = 0;
};

std::vector<ChartLine> chart_lines(const wire::PoolStatistics& statistics) {
    constexpr std::size_t most_lines = 24;
    const auto& use = statistics.use;
    const std::size_t together = (use.size() + most_lines - 1) / most_lines;
    std::vector<ChartLine> lines;
    for (std::size_t first = 0; first < use.size(); first += together) {
        const std::size_t end = std::min(first + together, use.size());
        ChartLine line{.at_unix = use[first].at_unix};
        for (std::size_t i = first; i < end; ++i) {
            line.count = std::max(line.count, use[i].count);
            line.in_use += use[i].in_use / static_cast<double>(end - first);
            line.queue += use[i].queue / static_cast<double>(end - first);
        }
        lines.push_back(line);
    }
    return lines;
}

// Slots in use, then free ones, then borrowers who wait.
std::string bar(const ChartLine& line, double longest) {
    constexpr double width = 40;
    const auto columns = [&](double number) {
        return static_cast<std::size_t>(std::clamp(number / longest * width + 0.5, 0.0, width));
    };
    const std::size_t used = columns(line.in_use);
    const std::size_t slots = std::max(columns(line.count), used);
    const std::size_t all = std::max(columns(std::max<double>(line.count, line.in_use) + line.queue), slots);
    return std::string(used, '#') + std::string(slots - used, '.') + std::string(all - slots, '+');
}

std::vector<Row> chart_rows(const wire::PoolStatistics& statistics) {
    std::vector<Row> rows = {{{"FROM"}, {"SLOTS (# in use, . free, + waiting)"}, {"IN USE"}, {"WAITING"}}};
    const std::vector<ChartLine> lines = chart_lines(statistics);
    double longest = 1;
    for (const ChartLine& line : lines)
        longest = std::max(longest, std::max<double>(line.count, line.in_use) + line.queue);
    const auto is_within_minute = [](const ChartLine& line) { return line.at_unix % 60 != 0; };
    const Precision precision =
        std::any_of(lines.begin(), lines.end(), is_within_minute) ? Precision::second : Precision::minute;
    for (const ChartLine& line : lines) {
        rows.push_back({{local_time(line.at_unix, precision)},
                        {bar(line, longest)},
                        {in_tenths(line.in_use) + " of " + std::to_string(line.count)},
                        {in_tenths(line.queue)}});
    }
    return rows;
}

std::vector<Row> holding_rows(const wire::PoolStatistics& statistics) {
    std::vector<Row> rows = {{{"LEASES"}, {"HOLDER"}, {"HELD FOR"}}};
    for (const auto& holder : statistics.holders) {
        rows.push_back({{std::to_string(holder.leases)},
                        {holder.name ? printable(*holder.name) : "-"},
                        {described(holder.held)}});
    }
    return rows;
}

std::vector<Row> what_if_rows(const wire::PoolStatistics& statistics) {
    std::vector<Row> rows = {
        {{"SLOTS"}, {"HALF WAIT UP TO"}, {"95 % UP TO"}, {"LONGEST"}, {"GOT NONE"}, {""}}};
    for (const auto& other : statistics.what_if) {
        rows.push_back({{std::to_string(other.count)},
                        {described(other.waits.p50)},
                        {described(other.waits.p95)},
                        {described(other.waits.max)},
                        {std::to_string(other.refusals)},
                        {other.count == statistics.count ? "now" : ""}});
    }
    return rows;
}

void add_whether_kept(const std::optional<std::int64_t>& kept_for, std::vector<std::string>& lines,
                      const TableLayout& layout) {
    if (kept_for != 0) return;
    const std::string line = "The server keeps no history (semad --history 0).";
    lines.push_back(layout.columns > 0 ? cut_to(line, layout.columns) : line);
}

std::vector<Row> task_rows(const TaskView& view, std::int64_t now) {
    std::vector<Row> rows = {
        {{"SLOT"}, {"TASK"}, {"BACKEND"}, {"SINCE"}, {"LAST KEEPALIVE"}, {"TIMES OUT IN"}}};
    for (const SeenTask& task : view.tasks) {
        const auto last = task.is_started() ? task.last_keepalive_unix() : std::nullopt;
        const auto left = task.is_started() ? task.times_out_in() : std::nullopt;
        rows.push_back({{std::to_string(task.position)},
                        {printable(task.mark.id)},
                        {printable(task.mark.backend)},
                        {local_time(task.granted_at_unix)},
                        {!task.is_started() ? "starting"
                         : last             ? described(now - *last) + " ago"
                                            : nobody},
                        {left ? describe(*left) : nobody}});
    }
    return rows;
}

}  // namespace

std::vector<std::string> history_table(const wire::PoolHistory& history, const std::string& pool,
                                       std::size_t limit, const TableLayout& layout) {
    const std::string head =
        pool_heading(pool, history.name) + ": " + described_number(history.history.size(), limit);
    std::vector<std::string> lines = {layout.columns > 0 ? cut_to(head, layout.columns) : head};
    add_whether_kept(history.kept_for, lines, layout);
    if (history.history.empty()) return lines;
    std::vector<Row> rows = {
        {{"POSITION"}, {"HOLDER"}, {"FROM"}, {"TO"}, {"HOW"}, {"FENCE"}, {"HELD FOR"}, {"WAITED"}, {"URL"}}};
    const auto is_short = [](const auto& entry) { return entry.ended_at_unix - entry.granted_at_unix < 60; };
    const Precision precision = std::any_of(history.history.begin(), history.history.end(), is_short)
                                    ? Precision::second
                                    : Precision::minute;
    for (const auto& entry : history.history) {
        const auto [name, url] = cells_of(entry.holder.get(), layout.links);
        const std::string from = local_time(entry.granted_at_unix, precision);
        rows.push_back({{describe_positions(entry.positions)},
                        name,
                        {from},
                        {without_date_of(from, local_time(entry.ended_at_unix, precision))},
                        {printable(entry.how)},
                        {std::to_string(entry.fence)},
                        {described(entry.ended_at_unix - entry.granted_at_unix)},
                        {described(entry.waited)},
                        url});
    }
    append(lines, std::move(rows), layout);
    return lines;
}

std::vector<std::string> statistics_table(const wire::PoolStatistics& statistics, const std::string& pool,
                                          const TableLayout& layout) {
    double in_use = 0;
    for (const auto& step : statistics.use)
        in_use += step.in_use / static_cast<double>(statistics.use.size());
    const auto& waits = statistics.waits;
    std::vector<std::string> lines = {
        pool_heading(pool, statistics.name) + ": " + counted(statistics.count, "slot", "slots") + ", " +
            in_tenths(in_use) + " in use on an average since " + local_time(statistics.since_unix),
        counted(statistics.granted, "lease", "leases") + " granted, " +
            counted(statistics.refusals, "borrower", "borrowers") + " got none",
        "waits: half up to " + described(waits.p50) + ", 95 % up to " + described(waits.p95) +
            ", the longest " + described(waits.max)};
    for (std::string& line : lines) {
        if (layout.columns > 0) line = cut_to(line, layout.columns);
    }
    add_whether_kept(statistics.kept_for, lines, layout);
    if (!statistics.use.empty()) append(lines, chart_rows(statistics), layout);
    if (!statistics.holders.empty()) append(lines, holding_rows(statistics), layout);
    if (statistics.what_if.empty()) return lines;
    append(lines, what_if_rows(statistics), layout);
    lines.emplace_back();
    append_wrapped(
        lines,
        "The borrowers of then, put before a pool that has that count all the time. Assumed: holders hold as "
        "long as they did, those who left would have held as long as others, nobody comes or stays away "
        "because of the waits, slots that were out of service are lent, and borrowers stay connected and get "
        "their slots without delay.",
        layout);
    return lines;
}

std::vector<std::string> pool_table(const wire::PoolDetails& view, const std::string& pool, Duration age,
                                    const TableLayout& layout) {
    const std::int64_t elapsed = whole_seconds(age);
    const std::string head = heading(view, pool, elapsed);
    std::vector<std::string> lines = {layout.columns > 0 ? cut_to(head, layout.columns) : head};
    if (!view.holders.empty()) append(lines, holder_rows(view, elapsed, layout.links), layout);
    if (!view.out.empty()) append(lines, out_rows(view), layout);
    if (!view.queue.empty()) append(lines, queue_rows(view, elapsed, layout.links), layout);
    if (layout.rows > 0 && lines.size() > layout.rows) {
        const std::size_t hidden = lines.size() - layout.rows + 1;
        lines.resize(layout.rows);
        lines.back() = cut_to("(" + std::to_string(hidden) + " lines more)",
                              layout.columns > 0 ? layout.columns : std::string::npos);
    }
    return lines;
}

std::string describe_lease(const wire::PoolDetails::HolderEntry& lease) {
    const auto [name, url] = cells_of(lease.holder.get(), TableLayout::Links::text);
    const std::int64_t held = lease.expires_at_unix - lease.expires_in - lease.granted_at_unix;
    return (name.text == nobody ? "a holder without a name" : name.text) +
           (url.text.empty() ? "" : " (" + url.text + ")") + " for " + described(held) + ", up to " +
           described(lease.expires_in) + " more";
}

std::string describe_out(const wire::SlotState& slot) {
    const std::string reason = printable(slot.out->reason);
    return "out of service since " + local_time(slot.out->since_unix) + (reason.empty() ? "" : ": " + reason);
}

std::vector<std::string> callback_table(const wire::CallbackList& list, const std::string& pool,
                                        const TableLayout& layout) {
    const auto waiting =
        static_cast<std::size_t>(std::count_if(list.callbacks.begin(), list.callbacks.end(),
                                               [](const auto& entry) { return entry.rank.has_value(); }));
    const std::string head = printable(pool) + ": " + std::to_string(waiting) +
                             (waiting == 1 ? " callback waits" : " callbacks wait") + ", " +
                             std::to_string(list.callbacks.size() - waiting) + " being delivered";
    std::vector<std::string> lines = {layout.columns > 0 ? cut_to(head, layout.columns) : head};
    if (list.callbacks.empty()) return lines;
    const auto time = [](const std::optional<std::int64_t>& whole) {
        return Cell{whole ? described(*whole) : "-"};
    };
    std::vector<Row> rows = {
        {{"RANK"}, {"HOLDER"}, {"SINCE"}, {"ENDS IN"}, {"ATTEMPTS"}, {"NEXT IN"}, {"URL"}, {"LAST ERROR"}}};
    for (const auto& entry : list.callbacks) {
        rows.push_back({{entry.rank ? std::to_string(*entry.rank) : "called"},
                        cells_of(entry.holder.get(), layout.links).first,
                        {described(entry.waiting_for)},
                        time(entry.expires_in),
                        {std::to_string(entry.attempts)},
                        time(entry.next_attempt_in),
                        {printable(entry.url)},
                        {printable(entry.last_error.value_or(""))}});
    }
    append(lines, std::move(rows), layout);
    return lines;
}

std::vector<std::string> pool_list_table(const wire::PoolList& list, std::size_t columns) {
    std::vector<const wire::PoolList::Entry*> pools;
    for (const auto& pool : list.pools)
        pools.push_back(&pool);
    std::stable_sort(pools.begin(), pools.end(), [](const auto* a, const auto* b) {
        return std::pair(a->name.empty(), std::string_view(a->name)) <
               std::pair(b->name.empty(), std::string_view(b->name));
    });
    std::vector<Row> rows = {{{"NAME"}, {"COUNT"}, {"IN USE"}, {"AVAILABLE"}, {"WAITING"}, {"ID"}}};
    for (const auto* pool : pools) {
        rows.push_back({{pool->name.empty() ? "-" : printable(pool->name)},
                        {std::to_string(pool->count)},
                        {std::to_string(pool->in_use)},
                        {std::to_string(pool->available)},
                        {std::to_string(pool->queue)},
                        {pool->id.str()}});
    }
    if (columns > 0) shorten_names(rows, 0, columns, shortest_beside_id);
    const std::vector<std::size_t> widths = widths_of(rows);
    std::vector<std::string> lines;
    for (const Row& row : rows)
        lines.push_back(line_of(row, widths, 0));
    return lines;
}

std::string describe_positions(const std::vector<unsigned>& positions) {
    std::string text;
    for (std::size_t i = 0; i < positions.size(); ++i) {
        std::size_t last = i;
        while (last + 1 < positions.size() && positions[last + 1] == positions[last] + 1)
            ++last;
        if (!text.empty()) text += ',';
        text += std::to_string(positions[i]);
        if (last > i) text += '-' + std::to_string(positions[last]);
        i = last;
    }
    return text;
}

bool is_linkable(std::string_view url) {
    const auto begins_with = [url](std::string_view scheme) {
        return url.size() > scheme.size() && url.substr(0, scheme.size()) == scheme;
    };
    return (begins_with("http://") || begins_with("https://")) &&
           std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::vector<std::string> task_table(const TaskView& view, const std::string& pool, std::size_t columns) {
    std::vector<std::string> lines{printable(pool) + ": " + std::to_string(view.tasks.size()) +
                                   (view.tasks.size() == 1 ? " task, " : " tasks, ") +
                                   std::to_string(view.available) + " of " + std::to_string(view.count) +
                                   " slots available" +
                                   (view.out > 0 ? ", " + std::to_string(view.out) + " out of service" : "")};
    if (view.tasks.empty()) return lines;
    // By the server's clock: ours may differ.
    const std::int64_t now = view.tasks.front().expires_at_unix - view.tasks.front().expires_in;
    std::vector<Row> rows = task_rows(view, now);
    if (columns > 0) shorten_names(rows, name_column, columns);
    const std::vector<std::size_t> widths = widths_of(rows);
    for (const Row& row : rows)
        lines.push_back(line_of(row, widths, columns));
    return lines;
}

}  // namespace sema
