#pragma once

#include "common/wire.hpp"

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

/// All pools of a server, for people: the lines of a table, by name, those without a name at its end. In a
/// bound of `columns` (0 sets none) long names are shortened, and only they: the ids are there to be copied.
std::vector<std::string> pool_list_table(const wire::PoolList& list, std::size_t columns);

/// Positions for people: `0-2,5`. REQUIRES: they ascend.
std::string describe_positions(const std::vector<unsigned>& positions);

/// Whether this may be shown to a terminal as a hyperlink: http or https, and visible ASCII characters
/// alone.
bool is_linkable(std::string_view url);

}  // namespace sema
