#pragma once

#include "client/client.hpp"

#include <algorithm>
#include <string>

namespace sema {

/// 1st, 2nd, 3rd, 4th, ...
inline std::string ordinal(std::size_t number) {
    const bool teens = number % 100 >= 11 && number % 100 <= 13;
    const char* const endings[] = {"th", "st", "nd", "rd"};
    return std::to_string(number) + endings[!teens && number % 10 <= 3 ? number % 10 : 0];
}

/// `only 2 slots`, `only 1 slot`, `no slots`
inline std::string only_slots(unsigned number) {
    if (number == 0) return "no slots";
    return "only " + std::to_string(number) + (number == 1 ? " slot" : " slots");
}

/// The borrower's place among all waiters, as `3rd of 7`. REQUIRES: the answer had details.
inline std::string rank_of(const NoSlot& none) {
    const wire::BorrowRefused& details = *none.details;
    const std::size_t all = std::max(details.rank, details.queue + (none.keeps_place ? 0 : 1));
    return ordinal(details.rank) + " of " + std::to_string(all);
}

/// The same with the time that it would have taken, where the server estimates that.
inline std::string place_in_queue(const NoSlot& none) {
    std::string text = rank_of(none) + " in the queue";
    if (none.details->eta) text += ", about " + describe(std::chrono::seconds(*none.details->eta));
    return text;
}

}  // namespace sema
