#include "cli/run/keeper.hpp"

#include "common/overloaded.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace sema {

using namespace std::chrono_literals;

namespace {

// How often the answers to several keepalives are looked for: a wait is for those to one.
constexpr Duration while_several_ask = 20ms;

}  // namespace

void Keeper::proceed(Moment now) {
    if (is_stopped_) return;
    for (Kept& kept : leases_) {
        if (kept.is_asking) {
            const auto answer = kept.client->keepalive_answer();
            if (!answer) continue;
            kept.is_asking = false;
            take_in(kept, *answer, now);
        }
        if (kept.upkeep.is_keepalive_due(now)) ask(kept, now);
    }
}

void Keeper::ask(Kept& kept, Moment now) {
    if (!kept.client) {
        kept.client = client_.another();
        kept.client->expect_semad();
    }
    const Duration limit = kept.upkeep.begin_keepalive(now);
    const wire::LeaseGrant& lease = kept.lease.grant().lease;
    kept.client->begin_keepalive(kept.lease.pool().id, lease.lease, kept.ttl, limit, lease.fence());
    kept.is_asking = true;
}

void Keeper::take_in(Kept& kept, const KeepaliveAnswer& answer, Moment now) {
    const std::string& pool = kept.lease.pool().name;
    const auto trouble = [&](const std::string& reason) {
        kept.upkeep.failed(now);
        if (std::exchange(kept.trouble, reason) == reason) return;
        console_.note(pool + ": cannot renew the lease: " + kept.client->server().name + " " + reason +
                      " (trying again until the lease ends)");
    };
    std::visit(Overloaded{[&](const wire::Renewed& renewed) {
                              if (!renewed.lease) {
                                  kept.upkeep.ended();
                                  kept.lease.disown();
                                  lost_ = Lost{pool, kept.ttl};
                                  return;
                              }
                              kept.upkeep.renewed(renewed.lease->expires_in);
                              if (!std::exchange(kept.trouble, "").empty())
                                  console_.note(pool + ": the lease is renewed again");
                              console_.detail(pool + ": renewed the lease for " +
                                              describe(std::chrono::seconds(renewed.lease->expires_in)));
                          },
                          [&](const NotRenewable&) {
                              kept.upkeep.stop_renewing();
                              console_.note(pool +
                                            ": its leases cannot be renewed: the command is stopped when "
                                            "the ttl ends");
                          },
                          [&](const auto& why) { trouble(predicate(why)); }},
               answer);
}

Upkeep::Step Keeper::due(Moment now) const {
    Upkeep::Step step = Upkeep::Step::none;
    for (const Kept& kept : leases_)
        step = std::max(step, kept.upkeep.due(now));
    return step;
}

bool Keeper::holds(Moment now) const {
    const auto is_held = [](const Kept& kept) { return kept.lease.is_held(); };
    return due(now) == Upkeep::Step::none && std::all_of(leases_.begin(), leases_.end(), is_held);
}

std::string Keeper::why_ending() const {
    const auto any = [this](bool (Upkeep::*is)() const) {
        return std::any_of(leases_.begin(), leases_.end(),
                           [is](const Kept& kept) { return (kept.upkeep.*is)(); });
    };
    if (!any(&Upkeep::renews)) return " (give a longer --ttl)";
    const bool is_trouble =
        std::any_of(leases_.begin(), leases_.end(), [](const Kept& kept) { return !kept.trouble.empty(); });
    const bool is_limit = !is_trouble && any(&Upkeep::is_cut);
    return is_limit ? " (the server renews it no further)" : " (it could not be renewed in time)";
}

std::optional<Keeper::Lost> Keeper::take_lost() {
    return std::exchange(lost_, std::nullopt);
}

void Keeper::stop() {
    is_stopped_ = true;
    for (Kept& kept : leases_) {
        if (std::exchange(kept.is_asking, false)) kept.client->drop_keepalive();
    }
}

Moment Keeper::next_deadline(Moment now) const {
    Moment next = BootClock::never;
    for (const Kept& kept : leases_)
        next = std::min(next, kept.upkeep.next_deadline(now));
    return next;
}

bool Keeper::is_asking() const {
    return std::any_of(leases_.begin(), leases_.end(), [](const Kept& kept) { return kept.is_asking; });
}

void Keeper::wait(const std::vector<int>& wakes, Duration limit) {
    Client* asking = nullptr;
    for (const Kept& kept : leases_) {
        if (!kept.is_asking) continue;
        if (asking != nullptr) limit = std::min<Duration>(limit, while_several_ask);
        asking = kept.client.get();
    }
    if (asking != nullptr) return asking->wait(wakes, limit);
    std::vector<pollfd> descriptors;
    for (const int wake : wakes)
        descriptors.push_back({wake, POLLIN, 0});
    const auto round = std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(limit, 1h));
    const int found = poll(descriptors.data(), descriptors.size(), static_cast<int>(round.count()));
    // No process may poll from which all descriptors were taken.
    if (found < 0 && errno == EINVAL) poll(nullptr, 0, static_cast<int>(while_several_ask / 1ms));
}

void Keeper::give_back(Returning::Deadline deadline) {
    stop();
    Returning returning(std::move(deadline));
    for (auto kept = leases_.rbegin(); kept != leases_.rend(); ++kept)
        returning.add(kept->lease, kept->upkeep.ends_at());
    returning.run();
}

void Keeper::disown() {
    stop();
    for (Kept& kept : leases_)
        kept.lease.disown();
}

}  // namespace sema
