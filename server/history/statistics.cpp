#include "server/history/statistics.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

constexpr std::array<Duration, 20> step_lengths = {1s,    2s,    5s, 10s, 15s, 30s, 1min, 2min, 5min, 10min,
                                                   15min, 30min, 1h, 2h,  3h,  6h,  12h,  24h,  48h,  168h};
constexpr int most_steps = 300;
constexpr std::size_t most_holders = 10;

Duration step_for(Duration span) {
    for (const Duration length : step_lengths) {
        if (span <= most_steps * length) return length;
    }
    return span / most_steps;
}

/// A number of slots or borrowers over time, summed up over steps.
class Curve {
  public:
    Curve(TimePoint begin, TimePoint end, Duration step)
        : begin_(begin),
          end_(end),
          step_(step),
          area_(static_cast<std::size_t>(
              std::max<Duration::rep>((end - begin + step - Duration(1)) / step, 1))),
          whole_(area_.size() + 1) {}

    std::size_t size() const { return area_.size(); }
    TimePoint at(std::size_t index) const { return begin_ + static_cast<Duration::rep>(index) * step_; }
    /// Of the part of the step that is within the times.
    double average(std::size_t index, TimePoint since) const {
        const Duration length = std::min(at(index) + step_, end_) - std::max(at(index), since);
        return length <= Duration::zero() ? 0 : total(index) / static_cast<double>(length.count());
    }

    /// `weight` of something were there from `from` to `to`.
    void add(TimePoint from, TimePoint to, unsigned weight) {
        from = std::max(from, begin_);
        to = std::min(to, end_);
        if (from >= to) return;
        const auto first = index_of(from);
        const auto last = index_of(to - Duration(1));
        if (first == last) return add_to(first, to - from, weight);
        add_to(first, at(first + 1) - from, weight);
        add_to(last, to - at(last), weight);
        whole_[first + 1] += weight;
        whole_[last] -= weight;
    }
    /// Once all is added.
    void finish() {
        double running = 0;
        for (std::size_t i = 0; i < area_.size(); ++i) {
            running += whole_[i];
            area_[i] += running * static_cast<double>(step_.count());
        }
    }

  private:
    std::size_t index_of(TimePoint time) const { return static_cast<std::size_t>((time - begin_) / step_); }
    void add_to(std::size_t index, Duration time, unsigned weight) {
        area_[index] += static_cast<double>(time.count()) * weight;
    }
    double total(std::size_t index) const { return area_[index]; }

    TimePoint begin_;
    TimePoint end_;
    Duration step_;
    /// Of each step, the number times how long it lasted.
    std::vector<double> area_;
    /// Where the number that lasts for whole steps changes.
    std::vector<double> whole_;
};

void add_use(const Past& past, std::vector<Statistics::Step>& use, Duration step, TimePoint begin) {
    const PoolView& now = *past.now;
    Curve in_use(begin, now.at, step);
    Curve queue(begin, now.at, step);
    // Not all is known of the time before.
    const auto add = [&](Curve& curve, TimePoint from, TimePoint to, unsigned weight) {
        curve.add(std::max(from, past.since), to, weight);
    };
    for (const HistoryEntry& lease : past.leases) {
        add(in_use, lease.granted_at(), lease.at, lease.slots);
        add(queue, lease.asked_at(), lease.granted_at(), 1);
    }
    for (const Lease& lease : now.leases) {
        add(in_use, lease.granted_at, now.at, static_cast<unsigned>(lease.positions.size()));
        add(queue, lease.granted_at - lease.waited, lease.granted_at, 1);
    }
    for (const HistoryEntry& entry : past.rest) {
        if (entry.what == HistoryEntry::What::refused) add(queue, entry.asked_at(), entry.at, 1);
    }
    for (const Waiter& waiter : now.queue)
        add(queue, waiter.queued_at, now.at, 1);
    in_use.finish();
    queue.finish();
    for (std::size_t i = 0; i < in_use.size(); ++i)
        use.push_back({.at = in_use.at(i),
                       .count = now.count,
                       .in_use = in_use.average(i, past.since),
                       .queue = queue.average(i, past.since)});
}

void add_counts(const Past& past, std::vector<Statistics::Step>& use, Duration step) {
    auto next = use.rbegin();
    for (auto entry = past.rest.rbegin(); entry != past.rest.rend(); ++entry) {
        if (entry->what != HistoryEntry::What::resized) continue;
        while (next != use.rend() && next->at + step > entry->at)
            ++next;
        for (auto before = next; before != use.rend(); ++before)
            before->count = entry->count_before;
    }
}

void add_holders(const Past& past, std::vector<Statistics::ByHolder>& holders) {
    std::map<std::optional<std::string>, Statistics::ByHolder> by_name;
    const auto add = [&](const Holder* holder, Duration held, unsigned slots) {
        std::optional<std::string> name;
        if (holder && holder->name) name = holder_group(*holder->name);
        auto& sum = by_name[name];
        ++sum.leases;
        sum.held += std::max(held, Duration::zero()) * slots;
    };
    for (const HistoryEntry& lease : past.leases)
        add(lease.holder.get(), lease.at - std::max(lease.granted_at(), past.since), lease.slots);
    for (const Lease& lease : past.now->leases)
        add(lease.holder.get(), past.now->at - std::max(lease.granted_at, past.since),
            static_cast<unsigned>(lease.positions.size()));
    for (auto& [name, sum] : by_name) {
        sum.name = name;
        holders.push_back(std::move(sum));
    }
    std::stable_sort(holders.begin(), holders.end(),
                     [](const auto& a, const auto& b) { return a.held > b.held; });
    if (holders.size() > most_holders) holders.resize(most_holders);
}

}  // namespace

std::string holder_group(const std::string& name) {
    // The job of a CI system stands before it, in which case the number behind that is dropped too.
    const auto at = name.find('@');
    if (at == name.npos) return name;
    const auto colon = name.find(':', at);
    if (colon == name.npos) return name;
    const auto end = name.find_first_not_of("0123456789", colon + 1);
    if (colon + 1 == name.size() || end == colon + 1 ||
        (end != name.npos && name[end] != ' ' && name[end] != ')'))
        return name;
    const auto open = name.rfind(" (", at);
    if (open == name.npos) return name.substr(0, colon);
    const std::string job = name.substr(0, open);
    const auto number = job.find_last_of(' ');
    const bool has_number = number != job.npos && number + 1 < job.size() &&
                            job.find_first_not_of("0123456789", number + 1) == job.npos;
    return has_number ? job.substr(0, number) : job;
}

// Nearest rank.
WaitTimes times_of(const Waits& waits) {
    if (waits.empty()) return {};
    const auto at = [&](std::size_t percent) { return waits[(waits.size() * percent + 99) / 100 - 1]; };
    return {at(50), at(95), waits.back()};
}

Statistics statistics_of(const Past& past, Duration unix_offset) {
    Statistics statistics{.step = step_for(past.now->at - past.since)};
    const Duration step = statistics.step;
    const Duration unix_since = past.since.time_since_epoch() + unix_offset;
    const TimePoint begin = past.since - (unix_since % step + step) % step;
    add_use(past, statistics.use, step, begin);
    add_counts(past, statistics.use, step);
    const Replayed was = Replay(past).as_it_was();
    statistics.granted = was.waits.size();
    statistics.waits = times_of(was.waits);
    statistics.refusals = was.refusals;
    add_holders(past, statistics.holders);
    return statistics;
}

}  // namespace sema
