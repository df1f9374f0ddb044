#include "server/http/callback_list.hpp"

#include <algorithm>
#include <optional>
#include <string_view>

namespace sema::http {
namespace {

// What stands behind the host may be a secret. There may be thousands, so the text is not read as a whole: it
// begins with the URL, of whose beginning nothing is escaped.
std::string shown_url(const CallbackText& text) {
    constexpr std::string_view lead = R"({"url":")";
    const auto slashes = text.find("//");
    if (!text.starts_with(lead) || slashes == text.npos) return "";
    const std::size_t end = std::min(text.find_first_of("/?#\"\\", slashes + 2), text.size());
    const bool has_more = text.compare(end, 1, "\"") != 0 && text.compare(end, 2, "/\"") != 0;
    return text.substr(lead.size(), end - lead.size()) + (has_more ? "/..." : "");
}

}  // namespace

wire::CallbackList callback_list(const PoolView& view) {
    const auto seconds_until = [&](TimePoint point) {
        return std::max<std::int64_t>(whole_seconds(point - view.at), 0);
    };
    wire::CallbackList shown;
    for (const Lease& lease : view.leases) {
        if (!lease.delivery) continue;
        const Delivery& delivery = *lease.delivery;
        const bool has_failed = !delivery.last_error.empty();
        shown.callbacks.push_back(
            {.holder = lease.holder,
             .url = shown_url(*delivery.callback),
             .attempts = delivery.attempts,
             .last_error = has_failed ? std::optional(delivery.last_error) : std::nullopt,
             .next_attempt_in = seconds_until(delivery.next_attempt),
             .waiting_for = whole_seconds(view.at - lease.granted_at),
             .expires_in = seconds_until(lease.expires_at)});
    }
    for (std::size_t i = 0; i < view.queue.size(); ++i) {
        const Waiter& waiter = view.queue[i];
        if (!waiter.claim.callback) continue;
        shown.callbacks.push_back({.rank = i + 1,
                                   .holder = waiter.claim.holder,
                                   .url = shown_url(*waiter.claim.callback),
                                   .waiting_for = whole_seconds(view.at - waiter.queued_at),
                                   .expires_in = seconds_until(waiter.deadline)});
    }
    return shown;
}

}  // namespace sema::http
