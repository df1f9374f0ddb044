#include "cli/dispatch/shown_ids.hpp"

#include <algorithm>
#include <cctype>

namespace sema {
namespace {

constexpr std::size_t most_ids = 10'000;

// Of a UUID, however it is written.
std::string digits_of(std::string_view text) {
    std::string digits;
    for (const char c : text) {
        if (c != '-') digits += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    return digits;
}

}  // namespace

void ShownIds::add(const std::string& id) {
    const std::lock_guard lock(mutex_);
    if (!ids_.insert(id).second) return;
    order_.push_back(id);
    if (order_.size() <= most_ids) return;
    ids_.erase(order_.front());
    order_.pop_front();
}

bool ShownIds::shows(std::string_view word) const {
    if (digits_of(word).find(digits_of(pool_.str())) != std::string::npos) return false;
    const std::lock_guard lock(mutex_);
    return std::any_of(ids_.begin(), ids_.end(),
                       [&](const std::string& id) { return id.find(word) != id.npos; });
}

}  // namespace sema
