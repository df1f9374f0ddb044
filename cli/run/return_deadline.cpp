#include "cli/run/return_deadline.hpp"

#include "cli/run/environment.hpp"
#include "cli/run/held_lease.hpp"
#include "common/given_text.hpp"

#include <algorithm>
#include <string>

namespace sema {
namespace {

using namespace std::chrono_literals;

// The time that the return gets in any case.
constexpr Duration least_return = 500ms;
// For each run around this one, but no more than that.
constexpr Duration sooner_inside = 400ms;
constexpr Duration most_sooner = 2s;

}  // namespace

Duration sooner_inside_others() {
    const int around = count_held(environment_value(held_variable).value_or(""));
    return std::min<Duration>(around * sooner_inside, most_sooner);
}

ReturnDeadline::ReturnDeadline(Requests& requests, std::optional<Moment> asked)
    : requests_(&requests), begin_(BootClock::now()) {
    if (!asked && requests.end()) asked = requests.end()->at;
    if (!asked && requests.suspension()) asked = requests.suspension()->at;
    end_ = asked ? std::max(*asked + all_ending - sooner_inside_others(), begin_ + least_return)
                 : begin_ + Returning::patience;
}

Moment ReturnDeadline::operator()() {
    const auto asked_at = [this](Moment at) { end_ = std::min(end_, at + Returning::short_patience); };
    if (requests_->take_in()) asked_at(BootClock::now());
    // Another part of semactl may have read it. At a Ctrl-Z the user waits for the terminal.
    for (const auto* request : {&requests_->end(), &requests_->suspension()})
        if (*request && (*request)->at > begin_) asked_at((*request)->at);
    return end_;
}

}  // namespace sema
