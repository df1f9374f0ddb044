#pragma once

#include "server/pool/history_entry.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace sema {

// An entry of a history as bytes: the same entry always gives the same. The first byte is the form, which is
// this one:
//
//     1, what, then numbers of seven bits a byte, the low ones first, with the high bit where more follow:
//     at, held, waited (microseconds), priority (twice, and odd where it is below 0), fence, slots,
//     how many positions, the first and the distances between them, count before and after,
//     and name and URL of the holder: 0 where there is none, else 1 more than their length, and they.

void append_bytes(const HistoryEntry& entry, std::string& bytes);

/// Takes an entry off `bytes`. Nothing where it is damaged, or of another form.
std::optional<HistoryEntry> take_entry(std::string_view& bytes);

}  // namespace sema
