#pragma once

#include "client/scheduler/task_mark.hpp"
#include "common/wire.hpp"
#include "common/wire_history.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sema {

/// What a table has to fit into.
struct TableLayout {
    enum class Links {
        /// Each in a column of its own.
        text,
        /// Behind the holder's name, as a terminal's hyperlink (OSC 8). One that is_linkable() does not trust
        /// is text.
        hyperlink
    };

    Links links = Links::text;
    /// 0 sets no bound. Where there is one, long names are shortened so that the rest fits.
    std::size_t columns = 0;
    /// 0 sets no bound. Lines that find no room are counted in the last one.
    std::size_t rows = 0;
};

/// The holders and the queue of a pool, for people: the lines of a table. `pool` is what the
/// person calls the pool, and `age` is how long ago the view was true.
///
/// The names and links in it come from borrowers. They are shown as printable() text, so that none of
/// them can steer a terminal.
std::vector<std::string> pool_table(const wire::PoolDetails& view, const std::string& pool, Duration age,
                                    const TableLayout& layout);

/// A lease for people: its holder, since when it is held and for how long yet.
std::string describe_lease(const wire::PoolDetails::HolderEntry& lease);

/// `out of service since 2026-06-13 08:00: fan is broken`. REQUIRES: the slot is.
std::string describe_out(const wire::SlotState& slot);

/// The borrowers that are to be called for slots of a pool, for people: the lines of a table. `pool` is what
/// the person calls the pool. What receivers answered is shown as printable() text, too.
std::vector<std::string> callback_table(const wire::CallbackList& list, const std::string& pool,
                                        const TableLayout& layout);

/// How many leases that ended a server lists at a time.
inline constexpr unsigned most_past_leases = 10'000;

/// The leases of a pool that ended, for people, in the same way. `limit` is how many were asked for at the
/// most.
std::vector<std::string> history_table(const wire::PoolHistory& history, const std::string& pool,
                                       std::size_t limit, const TableLayout& layout);

/// How a pool was used, for people, in the same way: with a chart, and with what other counts would have
/// done where the statistics have it.
std::vector<std::string> statistics_table(const wire::PoolStatistics& statistics, const std::string& pool,
                                          const TableLayout& layout);

/// All pools of a server, for people: the lines of a table, by name, those without a name at its end. In a
/// bound of `columns` (0 sets none) long names are shortened, and only they: the ids are there to be copied.
std::vector<std::string> pool_list_table(const wire::PoolList& list, std::size_t columns);

/// The tasks that have a slot of a pool, for people: the lines of a table. In a bound of `columns` (0 sets
/// none) long ids are shortened.
std::vector<std::string> task_table(const TaskView& view, const std::string& pool, std::size_t columns);

/// Positions for people: `0-2,5`. REQUIRES: they ascend.
std::string describe_positions(const std::vector<unsigned>& positions);

/// Whether this may be shown to a terminal as a hyperlink: http or https, and visible ASCII characters
/// alone.
bool is_linkable(std::string_view url);

}  // namespace sema
