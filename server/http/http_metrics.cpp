#include "server/http/http_metrics.hpp"

#include <algorithm>
#include <string>

namespace sema::http {

void CallCounters::count(CallKind call, int status) {
    std::size_t place = 0;
    while (place + 1 < counted_statuses.size() && counted_statuses[place] != status)
        ++place;
    answers_[static_cast<std::size_t>(call)][place].add();
}

void CallCounters::count_time(std::chrono::steady_clock::duration time) {
    const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    seconds_.add(static_cast<std::uint64_t>(std::max<std::int64_t>(microseconds, 0)));
}

CallCounters& HttpMetrics::add_worker() {
    workers_.push_back(std::make_unique<CallCounters>());
    return *workers_.back();
}

void HttpMetrics::write(MetricsText& text, std::size_t connections) const {
    using Kind = MetricsText::Kind;
    text.begin("sema_http_requests_total", Kind::counter, "Requests that were answered, by call and status.");
    for (std::size_t call = 0; call < call_names.size(); ++call) {
        for (std::size_t place = 0; place < counted_statuses.size(); ++place) {
            std::uint64_t answers = 0;
            for (const auto& worker : workers_)
                answers += worker->answers_[call][place].value();
            if (answers == 0) continue;
            const int status = counted_statuses[place];
            text.add({{"call", call_names[call]}, {"code", status == 0 ? "other" : std::to_string(status)}},
                     answers);
        }
    }
    HistogramCounts seconds;
    for (const auto& worker : workers_)
        worker->seconds_.add_to(seconds);
    text.begin("sema_http_request_seconds", Kind::histogram,
               "How long requests took from their first byte to their answer, less the wait of a borrow.");
    text.add({}, seconds, request_bounds, 1'000'000);
    text.begin("sema_http_connections", Kind::gauge, "Connections of clients.");
    text.add({}, connections);
}

}  // namespace sema::http
