#include "cli/pool_table.hpp"

#include "cli/console.hpp"
#include "cli/text_width.hpp"

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>

namespace sema {
namespace {

using std::chrono::seconds;

// A shorter part of a name does not tell two names apart.
constexpr std::size_t shortest_name = 16;
constexpr std::size_t gap = 2;
// Where the names stand, in a pool's two tables.
constexpr std::size_t name_column = 1;

struct Cell {
    std::string text;
    /// What the text links to; empty where it is only text.
    std::string link{};
};
using Row = std::vector<Cell>;

std::string local_time(std::int64_t unix_time) {
    const auto time = static_cast<std::time_t>(unix_time);
    std::tm parts{};
    char text[32] = "";
    if (localtime_r(&time, &parts) == nullptr || std::strftime(text, sizeof text, "%F %H:%M", &parts) == 0)
        return "?";
    return text;
}

std::string described(std::int64_t whole) {
    return describe(seconds(std::clamp<std::int64_t>(whole, 0, longest_duration / seconds(1))));
}

// The name's cell and the URL's.
std::pair<Cell, Cell> cells_of(const Holder* holder, TableLayout::Links links) {
    const std::string name = holder ? printable(holder->name.value_or("")) : "";
    const std::string url = holder ? holder->url.value_or("") : "";
    const bool linked = links == TableLayout::Links::hyperlink && is_linkable(url);
    const std::string shown = !name.empty() ? name : linked ? url : "-";
    return {Cell{shown, linked ? url : ""}, Cell{linked ? "" : printable(url)}};
}

std::string heading(const wire::PoolDetails& view, const std::string& pool, std::int64_t age) {
    std::string text = printable(pool) +
                       (view.settings.name.empty() ? "" : " (" + printable(view.settings.name) + ")") + ": " +
                       std::to_string(view.in_use) + " of " + std::to_string(view.count) + " in use, " +
                       std::to_string(view.available) + " available";
    if (view.settings.cooldown > Duration::zero()) text += ", cooldown " + describe(view.settings.cooldown);
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
                        {described(entry.waiting_for + age) + (entry.away ? ", away" : "")},
                        url});
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

void shorten_names(std::vector<Row>& rows, std::size_t names, std::size_t columns) {
    const std::vector<std::size_t> widths = widths_of(rows);
    std::size_t rest = gap * (widths.size() - 1);
    for (std::size_t i = 0; i < widths.size(); ++i)
        rest += i == names ? 0 : widths[i];
    const std::size_t room = std::max(shortest_name, columns > rest ? columns - rest : 0);
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

}  // namespace

std::vector<std::string> pool_table(const wire::PoolDetails& view, const std::string& pool, Duration age,
                                    const TableLayout& layout) {
    const std::int64_t elapsed = whole_seconds(age);
    const std::string head = heading(view, pool, elapsed);
    std::vector<std::string> lines = {layout.columns > 0 ? cut_to(head, layout.columns) : head};
    if (!view.holders.empty()) append(lines, holder_rows(view, elapsed, layout.links), layout);
    if (!view.queue.empty()) append(lines, queue_rows(view, elapsed, layout.links), layout);
    if (layout.rows > 0 && lines.size() > layout.rows) {
        const std::size_t hidden = lines.size() - layout.rows + 1;
        lines.resize(layout.rows);
        lines.back() = cut_to("(" + std::to_string(hidden) + " lines more)",
                              layout.columns > 0 ? layout.columns : std::string::npos);
    }
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
    if (columns > 0) shorten_names(rows, 0, columns);
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

}  // namespace sema
