#include "server/service/trouble_report.hpp"

#include <chrono>
#include <utility>

namespace sema {
namespace {

// Trouble is reported this often, and that the store works again once it was well for this long: with a full
// disk each call may fail, or every other one.
constexpr Duration trouble_interval = std::chrono::minutes(1);
constexpr Duration calm = std::chrono::seconds(1);

}  // namespace

TroubleReport::TroubleReport(const Clock& clock, std::function<void(const std::string&)> to)
    : clock_(clock), to_(std::move(to)) {}

std::string TroubleReport::latest() const {
    if (!is_failing_) return "";
    const MutexLock lock(mutex_);
    return failure_;
}

void TroubleReport::add(const std::string& trouble) {
    if (!trouble.empty()) {
        const MutexLock lock(mutex_);
        failure_ = trouble;
    }
    if (is_failing_ == trouble.empty()) is_failing_ = !trouble.empty();
    const TimePoint now = clock_.now();
    if (!trouble.empty()) {
        const bool is_known = in_trouble_ && now < reported_at_ + trouble_interval;
        in_trouble_ = true;
        if (is_known) return;
    } else if (in_trouble_ && now >= reported_at_ + calm) {
        in_trouble_ = false;
    } else {
        return;
    }
    reported_at_ = now;
    if (to_) to_(trouble);
}

void TroubleReport::add_loss(const std::string& loss) {
    const TimePoint now = clock_.now();
    if (loss_reported_at_ && now < *loss_reported_at_ + trouble_interval) return;
    loss_reported_at_ = now;
    if (to_) to_(loss);
}

}  // namespace sema
